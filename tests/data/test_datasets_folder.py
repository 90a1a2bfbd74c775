"""Folders of one's own: class folders and tables of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from robustdd.data.read import fingerprint, open_source, read
from robustdd.errors import UserError
from robustdd.params import Dataset
from tests.data.image_files import class_folders, labelled, pixels, write_image
from tests.data.own_folders import both, folder, load, refusal


def test_class_folders_with_a_test_set(tmp_path: Path) -> None:
    split = load(both(tmp_path), test_set=True)
    assert split.test is not None
    assert split.train.ids == tuple(f"train/{name}/{number}.png" for name in ("cat", "dog") for number in range(3))
    assert split.test.ids[-1] == "test/dog/1.png"
    assert split.train.class_names == ("cat", "dog")
    assert split.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and split.test.labels.tolist() == [0, 0, 1, 1]
    assert split.train.clean is None
    for row, seed in enumerate(range(6)):
        assert np.array_equal(split.train.images[row].numpy(), pixels(seed).transpose(2, 0, 1))


def test_without_train_the_folder_itself_is_the_training_set(tmp_path: Path) -> None:
    split = load(class_folders(tmp_path))
    assert split.test is None
    assert split.train.ids[0] == "cat/0.png"
    assert "has no train/ and test/; expected both, or `test_set: false` with a `holdout`" in refusal(
        tmp_path, test_set=True
    )


def test_a_test_set_is_not_looked_at_when_the_params_say_so(tmp_path: Path) -> None:
    both(tmp_path)
    (tmp_path / "test" / "cat" / "0.png").write_bytes(b"damaged")
    assert load(tmp_path).test is None
    assert "test/cat/0.png: is damaged" in refusal(tmp_path, test_set=True)


def test_sizes_channels_and_nested_folders(tmp_path: Path) -> None:
    write_image(tmp_path / "cat" / "young" / "a.PNG", 0, 20, 30)
    write_image(tmp_path / "dog" / "b.png", 1, 40, 16, channels=1)
    found = load(tmp_path, image_size=12).train
    assert found.images.shape == (2, 3, 12, 12) and found.ids == ("cat/young/a.PNG", "dog/b.png")
    assert load(tmp_path, image_size=12, channels=1).train.images.shape == (2, 1, 12, 12)
    line = refusal(tmp_path)
    assert "dog/b.png: has 16 x 40 pixels, expected 30 x 20 as the others; set image_size" in line


def test_test_images_have_the_size_of_the_training_images(tmp_path: Path) -> None:
    both(tmp_path)
    for path in (tmp_path / "test").rglob("*.png"):
        write_image(path, 1, 9, 9)
    assert "test/cat/0.png: has 9 x 9 pixels, expected 8 x 8" in refusal(tmp_path, test_set=True)
    source = open_source(folder(tmp_path, test_set=True))
    with pytest.raises(UserError, match="expected 8 x 8"):
        source.test()


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("kind", ["names", "numbers"])
def test_a_table_of_labels_in_any_order_gives_the_same_set(tmp_path: Path, form: str, kind: str) -> None:
    labels: list[Any] = ["cat", "dog", "cat"] if kind == "names" else [0, 1, 0]
    rows = [("c.png", labels[2]), ("a.png", labels[0]), ("b.png", labels[1])]
    root = labelled(tmp_path)
    if form == "csv":
        (root / "labels.csv").write_text("id,label\n" + "".join(f"{ident},{label}\n" for ident, label in rows))
    else:
        (root / "labels.csv").unlink()
        pq.write_table(
            pa.table({"id": [row[0] for row in rows], "label": [row[1] for row in rows]}), root / "labels.parquet"
        )
    found = load(root).train
    assert found.ids == ("a.png", "b.png", "c.png")
    assert found.labels.tolist() == [0, 1, 0] and found.clean is None
    assert found.class_names == (("cat", "dog") if kind == "names" else ("0", "1"))
    assert np.array_equal(found.images[1].numpy(), pixels(1).transpose(2, 0, 1))


def test_clean_labels_are_kept_where_they_are_given(tmp_path: Path) -> None:
    table = "id,label,clean_label\na.png,cat,dog\nb.png,dog,dog\nc.png,cat,fox\n"
    found = load(labelled(tmp_path, table)).train
    assert found.class_names == ("cat", "dog", "fox")
    assert found.labels.tolist() == [0, 1, 0]
    assert found.clean is not None and found.clean.tolist() == [1, 1, 2]
    chosen = found.select(torch.tensor([2, 0]))
    assert chosen.clean is not None and chosen.clean.tolist() == [2, 1]


def test_the_classes_of_the_params_set_the_order(tmp_path: Path) -> None:
    found = load(labelled(tmp_path), classes=("fox", "dog", "cat")).train
    assert found.class_names == ("fox", "dog", "cat") and found.labels.tolist() == [2, 1, 2]
    numbered = load(labelled(tmp_path, "id,label\na.png,2\nb.png,0\nc.png,2\n"), classes=("fox", "dog", "cat")).train
    assert numbered.labels.tolist() == [2, 0, 2]
    both(tmp_path / "whole")
    split = load(tmp_path / "whole", classes=("dog", "cat"), test_set=True)
    assert split.test is not None
    assert split.train.labels.tolist() == [1, 1, 1, 0, 0, 0] and split.test.labels.tolist() == [1, 1, 0, 0]


def test_a_table_for_training_and_class_folders_for_the_test(tmp_path: Path) -> None:
    labelled(tmp_path / "train")
    class_folders(tmp_path / "test", each=1)
    split = load(tmp_path, test_set=True)
    assert split.test is not None
    assert split.train.ids == ("train/a.png", "train/b.png", "train/c.png")
    assert split.test.labels.tolist() == [0, 1]


def test_a_test_table_knows_the_classes_of_the_training_images(tmp_path: Path) -> None:
    class_folders(tmp_path / "train")
    labelled(tmp_path / "test", "id,label\na.png,dog\nb.png,dog\nc.png,dog\n")
    split = load(tmp_path, test_set=True)
    assert split.test is not None and split.test.labels.tolist() == [1, 1, 1]
    (tmp_path / "test" / "labels.csv").write_text("id,label\na.png,dog\nb.png,fox\nc.png,dog\n")
    line = refusal(tmp_path, test_set=True)
    assert "label 'fox' of 'b.png' is no class; expected 0..1, or one of cat, dog" in line


def test_two_and_a_thousand_classes(tmp_path: Path) -> None:
    classes = tuple(f"class {number:03d}" for number in range(1000))
    found = load(class_folders(tmp_path / "many", classes, each=1)).train
    assert found.class_names == classes and found.labels.tolist() == list(range(1000))
    write_image(tmp_path / "many" / "one more" / "0.png", 0)
    assert "has 1,001 classes; expected 2 to 1,000" in refusal(tmp_path / "many")
    assert "has 1 classes; expected 2 to 1,000" in refusal(class_folders(tmp_path / "one", ("cat",)))


def test_hidden_files_and_files_that_are_no_images_are_passed_over(tmp_path: Path) -> None:
    class_folders(tmp_path)
    for name in (".DS_Store", "cat/Thumbs.db", "cat/.0.png", "README.md", "cat/notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    class_folders(tmp_path / ".git")
    assert len(load(tmp_path).train) == 6


def test_a_link_to_the_folder_and_links_inside_it_are_followed(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    (tmp_path / "set" / "dog" / "3.png").symlink_to(tmp_path / "set" / "cat" / "0.png")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    found = load(tmp_path / "link").train
    assert len(found) == 7 and torch.equal(found.images[6], found.images[0])


def test_the_fingerprint_sees_every_image_and_the_table(tmp_path: Path) -> None:
    class_folders(tmp_path / "a" / "set")
    before = fingerprint(open_source(folder(tmp_path / "a" / "set")))
    (tmp_path / "a").rename(tmp_path / "b")
    assert fingerprint(open_source(folder(tmp_path / "b" / "set"))) == before
    write_image(tmp_path / "b" / "set" / "cat" / "0.png", 99)
    assert fingerprint(open_source(folder(tmp_path / "b" / "set"))) != before
    labelled(tmp_path / "c")
    first = fingerprint(open_source(folder(tmp_path / "c")))
    (tmp_path / "c" / "labels.csv").write_text("id,label\na.png,dog\nb.png,dog\nc.png,cat\n")
    assert fingerprint(open_source(folder(tmp_path / "c"))) != first


def test_a_path_is_seen_from_the_study(tmp_path: Path) -> None:
    class_folders(tmp_path / "mine")
    params = Dataset(kind="folder", path="mine", test_set=False)
    assert len(read(params, tmp_path).train) == 6
    with pytest.raises(UserError, match="is no folder"):
        read(params, tmp_path / "mine")
    with pytest.raises(UserError, match="has no path"):
        read(Dataset(kind="folder"))
