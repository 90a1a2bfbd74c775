from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.data import digits
from robustdd.data.labels import check_labels
from robustdd.data.read import ImageSet, Split, read
from robustdd.errors import CorruptArtifact, UserError
from robustdd.params import Dataset
from robustdd.study.graph import STAGES
from tasks.cache.code import closure, module_of

torch.set_num_threads(1)


def image_set(count: int = 4, **changes: Any) -> ImageSet:
    parts: dict[str, Any] = {
        "images": torch.arange(count * 4, dtype=torch.uint8).view(count, 1, 2, 2),
        "labels": torch.arange(count) % 2,
        "ids": tuple(f"a{row}" for row in range(count)),
        "class_names": ("cat", "dog"),
    }
    return ImageSet(**(parts | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.zeros(4, 1, 2, 2)}, "expected uint8"),
        ({"images": torch.zeros(4, 2, 2, dtype=torch.uint8)}, "expected uint8"),
        ({"images": torch.zeros(0, 1, 2, 2, dtype=torch.uint8)}, "at least one image"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"expected int64 \[4\], got int64 \[3\]"),
        ({"labels": torch.zeros(4)}, r"expected int64 \[4\], got float32"),
        ({"labels": torch.zeros(4, 1, dtype=torch.int64)}, r"got int64 \[4, 1\]"),
        ({"labels": torch.tensor([0, 1, 2, 0])}, r"classes 0\.\.1, got 2 at position 2"),
        ({"labels": torch.tensor([0, -1, 1, 0])}, "got -1 at position 1"),
        ({"ids": ("a", "b", "c")}, "ids: expected 4"),
        ({"ids": ("a", "b", "c", "a")}, "'a' 2 times"),
        ({"class_names": ("cat", "cat")}, "class names: .*'cat' 2 times"),
        ({"class_names": ()}, "class names: expected at least one"),
    ],
)
def test_an_image_set_that_does_not_fit_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        image_set(**changes)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-3, 6), min_size=1, max_size=8), st.integers(1, 5))
def test_labels_pass_exactly_when_every_one_is_a_class(values: list[int], classes: int) -> None:
    labels = torch.tensor(values)
    if all(0 <= value < classes for value in values):
        check_labels(labels, len(values), classes)
    else:
        with pytest.raises(UserError, match="expected classes"):
            check_labels(labels, len(values), classes)


def test_select_copies_and_keeps_ids_with_their_images() -> None:
    everything = image_set()
    chosen = everything.select(torch.tensor([3, 1]))
    assert chosen.ids == ("a3", "a1")
    assert torch.equal(chosen.images[0], everything.images[3])
    assert chosen.labels.tolist() == [1, 1]
    chosen.images.zero_()
    assert int(everything.images.sum()) == sum(range(16))


def test_train_and_test_must_be_of_one_kind_and_apart() -> None:
    train = image_set()
    other_ids = ("b0", "b1", "b2", "b3")
    assert Split(train, None).test is None
    assert len(cast(ImageSet, Split(train, image_set(ids=other_ids)).test)) == 4
    with pytest.raises(UserError, match="4 ids are training images too, the first is 'a0'"):
        Split(train, train)
    with pytest.raises(UserError, match="class names"):
        Split(train, image_set(ids=other_ids, class_names=("dog", "cat")))
    with pytest.raises(UserError, match=r"shape of the training images \[1, 2, 2\], got \[1, 2, 3\]"):
        Split(train, image_set(ids=other_ids, images=torch.zeros(4, 1, 2, 3, dtype=torch.uint8)))


def test_digits_are_the_published_ones_in_whole_grey_levels() -> None:
    from sklearn.datasets import load_digits

    published = load_digits()
    split = read(Dataset(kind="digits"))
    test = cast(ImageSet, split.test)
    assert split.train.images.shape == (1400, 1, 8, 8)
    assert test.images.shape == (397, 1, 8, 8)
    assert split.train.class_names == tuple("0123456789")
    assert sorted(split.train.ids + test.ids) == [f"digits-{row:04d}" for row in range(1797)]
    for part in (split.train, test):
        rows = [int(name.removeprefix("digits-")) for name in part.ids]
        assert rows == sorted(rows)
        assert part.labels.tolist() == published.target[rows].tolist()
        levels = torch.from_numpy(published.images[rows])
        assert torch.equal(part.images[:, 0].double(), (levels * 255 / 16 + 0.5).floor())
    assert set(split.train.images.unique().tolist()) <= {(level * 255 + 8) // 16 for level in range(17)}


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 1796), st.integers(0, 100))
def test_the_test_split_has_its_size_and_the_class_shares(size: int, seed: int) -> None:
    split = read(Dataset(kind="digits", test_images=size, split_seed=seed))
    test = cast(ImageSet, split.test)
    assert (len(split.train), len(test)) == (1797 - size, size)
    everything = split.train.labels.bincount(minlength=10) + test.labels.bincount(minlength=10)
    quotas = everything.double() * size / 1797
    assert bool(((test.labels.bincount(minlength=10) - quotas).abs() < 1).all())


def test_the_split_depends_on_its_seed_alone() -> None:
    params = Dataset(kind="digits")
    first = cast(ImageSet, read(params).test).ids
    torch.manual_seed(5)
    assert cast(ImageSet, read(params).test).ids == first
    assert cast(ImageSet, read(replace(params, split_seed=1)).test).ids != first


def test_a_split_without_training_images_and_an_unknown_kind_are_refused() -> None:
    with pytest.raises(UserError, match=r"expected 1\.\.1796 of the digits, got 1797"):
        read(Dataset(kind="digits", test_images=1797))
    with pytest.raises(UserError, match="dataset kind: expected digits, cifar10, cifar100 or folder, got 'mnist'"):
        read(Dataset(kind=cast(Any, "mnist")))


def test_other_digits_than_the_known_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "_SHA256", "0" * 64)
    with pytest.raises(CorruptArtifact, match="expected 0000"):
        read(Dataset(kind="digits"))


def test_no_stage_but_that_of_the_images_depends_on_a_reader() -> None:
    for stage in (name for name in STAGES if name != "images"):
        reached = closure(module_of(stage))
        assert not [name for name in reached if name.startswith("robustdd.data.read")], stage
    assert "robustdd.data.parquet_files" in closure("tasks.stages.images")
