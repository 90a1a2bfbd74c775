"""CIFAR in its original formats: parquet files, python files, and the real one."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.data import cifar
from robustdd.data.catalog import CIFAR10, CIFAR100
from robustdd.data.python_files import PythonFiles
from robustdd.data.read import fingerprint, open_source, read
from robustdd.data.torchvision_compat import torchvision
from robustdd.errors import RobustddError, UserError
from robustdd.noise.superclasses import CIFAR100_SUPERCLASSES
from robustdd.params import Dataset
from tests.data.cifar_sets import params, refusal, write_parts
from tests.data.image_files import image_bytes, pickled_by_python_2, pixels, small_cifar, write_parquet, write_python
from tests.data.real_data import real

KINDS = ("cifar10", "cifar100")


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_parts(tmp_path / "set", monkeypatch)


@pytest.mark.parametrize(("kind", "column"), [("cifar10", "img"), ("cifar100", "image")])
def test_parquet_files_of_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, column: str) -> None:
    small = small_cifar(kind, monkeypatch, train=20, test=9)
    first = write_parquet(tmp_path / "train-00000-of-00002.parquet", small, 12, column=column)
    second = write_parquet(tmp_path / "train-00001-of-00002.parquet", small, 8, first=12, column=column)
    third = write_parquet(tmp_path / "test.parquet", small, 9, first=100, column=column)
    split = read(params(kind, tmp_path))
    assert split.test is not None and split.train.clean is not None
    assert split.train.labels.tolist() == split.train.clean.tolist() == first + second
    assert split.test.labels.tolist() == third
    assert split.train.ids[0] == f"{kind}-train-00000" and split.test.ids[-1] == f"{kind}-test-00008"
    assert split.train.class_names == small.class_names
    for row in range(20):
        assert np.array_equal(split.train.images[row].numpy().transpose(1, 2, 0), pixels(row, 32, 32))


@pytest.mark.parametrize("kind", KINDS)
def test_the_original_python_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    small, held = write_python(tmp_path / "anywhere", kind, monkeypatch)
    split = read(params(kind, tmp_path))
    assert split.test is not None
    for part, names in ((split.train, small.train_files), (split.test, small.test_files)):
        data = np.concatenate([held[name][0] for name in names])
        assert np.array_equal(part.images.numpy(), data.reshape(-1, 3, 32, 32))
        assert part.labels.tolist() == list(chain(*(held[name][1] for name in names)))
        assert part.images.dtype == torch.uint8
    assert split.train.ids[-1] == f"{kind}-train-{len(split.train) - 1:05d}"


def test_checksums_and_classes_are_those_of_torchvision_and_the_literature() -> None:
    sets = torchvision("datasets")
    for ours, theirs in ((CIFAR10, sets.CIFAR10), (CIFAR100, sets.CIFAR100)):
        assert list(ours.train_files.items()) == list(map(tuple, theirs.train_list))
        assert list(ours.test_files.items()) == list(map(tuple, theirs.test_list))
        assert ours.meta_file == {theirs.meta["filename"]: theirs.meta["md5"]}
        assert (ours.names_key, ours.folder) == (theirs.meta["key"], theirs.base_folder)
        assert (ours.url, ours.archive, ours.archive_md5) == (theirs.url, theirs.filename, theirs.tgz_md5)
    assert CIFAR100.class_names == tuple(sorted(chain(*CIFAR100_SUPERCLASSES)))


def test_other_bytes_another_class_order_and_a_missing_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, _ = write_python(tmp_path, "cifar10", monkeypatch)
    batch = tmp_path / "data_batch_3"
    kept = batch.read_bytes()
    batch.write_bytes(kept[:-1] + b"x")
    assert "data_batch_3: has md5" in refusal("cifar10", tmp_path)
    batch.unlink()
    (tmp_path / small.folder).mkdir()
    assert "lacks 'data_batch_1'" in refusal("cifar10", tmp_path)
    batch.write_bytes(kept)
    (tmp_path / small.folder).rmdir()
    swapped = ("automobile", "airplane", *small.class_names[2:])
    monkeypatch.setitem(cifar.BY_KIND, "cifar10", replace(small, class_names=swapped))
    assert "names other classes than CIFAR-10, or in another order" in refusal("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        ({"labels": [0, 1]}, "expected data and labels"),
        ({"labels": [0, 1], "data": np.zeros((3, 3072), np.uint8)}, r"expected bytes \[2, 3072\]"),
        ({"labels": [0, "1"], "data": np.zeros((2, 3072), np.uint8)}, "whole labels"),
        ({"labels": [0, True], "data": np.zeros((2, 3072), np.uint8)}, "whole labels"),
        ({"labels": [0, 10], "data": np.zeros((2, 3072), np.uint8)}, "expected classes 0..9, got 10"),
        ({"labels": [0, -1], "data": np.zeros((2, 3072), np.uint8)}, "expected classes 0..9, got -1"),
        ([1, 2], "no pickle of plain values"),
    ],
)
def test_a_batch_that_holds_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: object, reason: str
) -> None:
    import hashlib

    small, _ = write_python(tmp_path, "cifar10", monkeypatch)
    data = pickled_by_python_2(batch)
    (tmp_path / "test_batch").write_bytes(data)
    sums = {"test_batch": hashlib.md5(data, usedforsecurity=False).hexdigest()}
    with pytest.raises(RobustddError, match=reason):
        PythonFiles(replace(small, test_files=sums), tmp_path).test()


def test_a_wrong_number_of_images_is_refused_before_any_is_decoded(parquet: Path, tmp_path: Path) -> None:
    part = parquet / "plain_text" / "train-00001-of-00002.parquet"
    part.rename(tmp_path / "kept")
    assert "train*.parquet hold 12 images, CIFAR-10 has 20" in refusal("cifar10", parquet)
    (tmp_path / "kept").rename(part)
    for path in (parquet / "plain_text").glob("test*"):
        path.unlink()
    assert "has no test*.parquet" in refusal("cifar10", parquet)


def _with_rows(folder: Path, change: object) -> None:
    path = folder / "plain_text" / "test-00000-of-00001.parquet"
    rows = pq.read_table(path).to_pylist()
    change(rows)  # type: ignore[operator]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"img": pa.array([row["img"] for row in rows], kind), "label": pa.array([row["label"] for row in rows])}
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("label", 10, "row 4 has label 10; expected 0..9"),
        ("label", -1, "row 4 has label -1; expected 0..9"),
        ("label", None, "row 4 has label None"),
        ("label", 0.5, "expected the columns img"),
        ("label", "cat", "expected the columns img"),
        ("img", None, "row 4 has no bytes of an image"),
        ("img", {"bytes": None, "path": "/etc/hostname"}, "row 4 has no bytes of an image"),
        ("img", {"bytes": b"", "path": None}, "image 4: is damaged or no image"),
        ("img", {"bytes": image_bytes(pixels(0, 32, 32))[:900], "path": None}, "image 4: is damaged or no image"),
        (
            "img",
            {"bytes": image_bytes(pixels(0, 28, 32)), "path": None},
            "image 4: has 32 x 28 pixels, expected 32 x 32",
        ),
    ],
)
def test_a_bad_row_is_named(parquet: Path, place: str, value: object, reason: str) -> None:
    def change(rows: list[dict[str, object]]) -> None:
        rows[4][place] = value
        if place == "label" and isinstance(value, float | str):
            for row in rows:
                row[place] = value

    _with_rows(parquet, change)
    assert reason in refusal("cifar10", parquet)


def test_damaged_bytes_give_a_set_or_one_line(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet / "plain_text" / "test-00000-of-00001.parquet"
    good = path.read_bytes()
    source = open_source(params("cifar10", parquet))

    @settings(deadline=1000, max_examples=100)
    @given(st.integers(0, 4000), st.booleans(), st.integers(0, 16), st.binary(max_size=24))
    def holds(place: int, from_end: bool, cut: int, new: bytes) -> None:
        place = max(0, len(good) - place) if from_end else place
        path.write_bytes(good[:place] + new + good[place + cut :])
        try:
            found = source.test()
        except UserError as error:
            assert str(error).isprintable()
        else:
            assert found is not None and len(found) == 10

    holds()


def test_damaged_python_files_never_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_python(tmp_path, "cifar10", monkeypatch)
    path = tmp_path / "test_batch"
    good, source = path.read_bytes(), open_source(params("cifar10", tmp_path))

    @settings(deadline=1000, max_examples=50)
    @given(st.integers(0, len(good)), st.integers(0, 16), st.binary(max_size=24))
    def holds(place: int, cut: int, new: bytes) -> None:
        damaged = good[:place] + new + good[place + cut :]
        path.write_bytes(damaged)
        if damaged != good:
            with pytest.raises(UserError, match="test_batch: has md5"):
                source.test()

    holds()


def test_other_class_names_in_the_metadata_are_refused(parquet: Path) -> None:
    small = cifar.BY_KIND["cifar10"]
    names = ["automobile", "airplane", *small.class_names[2:]]
    write_parquet(parquet / "plain_text" / "test-00000-of-00001.parquet", small, 10, names=names)
    assert "names other classes than CIFAR-10, or in another order" in refusal("cifar10", parquet)


def test_a_damaged_parquet_file_is_named(parquet: Path) -> None:
    path = parquet / "plain_text" / "train-00001-of-00002.parquet"
    data = path.read_bytes()
    for damaged in (b"", b"PAR1", data[:-3], data[: len(data) // 2], data[:-200] + bytes(100) + data[-100:]):
        path.write_bytes(damaged)
        assert "train-00001-of-00002.parquet: cannot be read as parquet" in refusal("cifar10", parquet)


def test_the_fingerprint_is_that_of_the_bytes_not_of_the_place(parquet: Path, tmp_path: Path) -> None:
    before = fingerprint(open_source(params("cifar10", parquet)))
    parquet.rename(tmp_path / "moved")
    assert fingerprint(open_source(params("cifar10", tmp_path / "moved"))) == before
    write_parquet(
        tmp_path / "moved" / "plain_text" / "test-00000-of-00001.parquet", cifar.BY_KIND["cifar10"], 10, first=101
    )
    assert fingerprint(open_source(params("cifar10", tmp_path / "moved"))) != before


def test_the_real_cifar10_is_read_in_the_published_order() -> None:
    real("cifar10")
    source = open_source(Dataset(kind="cifar10"))
    test = source.test()
    assert test is not None
    assert test.images.shape == (10_000, 3, 32, 32)
    assert test.labels.bincount().tolist() == [1000] * 10
    assert test.class_names[:3] == ("airplane", "automobile", "bird")
    # Channel means of the test images as the literature has them, within what JPEG changes.
    means = test.images.double().mean((0, 2, 3)) / 255
    assert torch.allclose(means, torch.tensor([0.4942, 0.4851, 0.4504], dtype=torch.float64), atol=2e-3)
    labels = pq.read_table(
        next(path for name, path in source.files.items() if name.startswith("train")), columns=["label"]
    )
    assert labels["label"].to_pylist()[:12] == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3, 4, 7]
