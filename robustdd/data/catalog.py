"""CIFAR-10 and CIFAR-100 as they were published: files, checksums, counts and classes.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; https://www.cs.toronto.edu/~kriz/.
The md5 sums are those that torchvision checks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One of the two: its classes in order, its numbers of images, and its original python files with their md5."""

    kind: str
    name: str
    class_names: tuple[str, ...]
    train_images: int
    test_images: int
    column: str
    """Column of the labels in the parquet files of Hugging Face."""
    folder: str
    train_files: dict[str, str]
    test_files: dict[str, str]
    meta_file: dict[str, str]
    labels_key: str
    names_key: str
    archive: str
    archive_md5: str

    @property
    def checksums(self) -> dict[str, str]:
        """Md5 of every python file by its name."""
        return {**self.train_files, **self.test_files, **self.meta_file}

    @property
    def url(self) -> str:
        """Where the archive of the python files is published."""
        return f"https://www.cs.toronto.edu/~kriz/{self.archive}"


CIFAR10 = Published(
    kind="cifar10",
    name="CIFAR-10",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    train_images=50_000,
    test_images=10_000,
    column="label",
    folder="cifar-10-batches-py",
    train_files={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test_files={"test_batch": "40351d587109b95175f43aff81a1287e"},
    meta_file={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
    labels_key="labels",
    names_key="label_names",
    archive="cifar-10-python.tar.gz",
    archive_md5="c58f30108f718f92721af3b95e74349a",
)

_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""

CIFAR100 = Published(
    kind="cifar100",
    name="CIFAR-100",
    class_names=tuple(_CIFAR100_NAMES.split()),
    train_images=50_000,
    test_images=10_000,
    column="fine_label",
    folder="cifar-100-python",
    train_files={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test_files={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    meta_file={"meta": "7973b15100ade9c7d40fb424638fde48"},
    labels_key="fine_labels",
    names_key="fine_label_names",
    archive="cifar-100-python.tar.gz",
    archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
)

BY_KIND = {published.kind: published for published in (CIFAR10, CIFAR100)}
