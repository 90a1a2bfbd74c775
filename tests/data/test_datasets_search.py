"""Where CIFAR is looked for, and fetching it."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robustdd.data import cifar
from robustdd.data.download import fetch
from robustdd.data.read import read
from robustdd.data.torchvision_compat import torchvision
from robustdd.errors import UserError
from robustdd.params import Dataset
from tests.data.cifar_sets import params, refusal, write_parts
from tests.data.image_files import small_cifar, write_python


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_parts(tmp_path / "set", monkeypatch)


def test_what_the_environment_names_is_searched_and_a_path_wins(
    parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROBUSTDD_DATA", raising=False)
    line = refusal("cifar10", None)
    assert "give its path in params.yaml, or set ROBUSTDD_DATA to a folder with cifar10" in line
    monkeypatch.setenv("ROBUSTDD_DATA", str(tmp_path))
    assert "does not exist" in refusal("cifar10", None)
    parquet.rename(tmp_path / "cifar10")
    assert len(read(params("cifar10", None)).train) == 20
    (tmp_path / "empty").mkdir()
    assert "does not hold CIFAR-10; expected train*.parquet" in refusal("cifar10", tmp_path / "empty")
    here = replace(params("cifar10", None), path="cifar10")
    assert len(read(here, tmp_path).train) == 20


def test_two_copies_are_told_apart_by_a_path(parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_python(tmp_path / "set" / "cifar-10-batches-py", "cifar10", monkeypatch)
    line = refusal("cifar10", tmp_path)
    assert "cifar-10-batches-py and" in line and "plain_text; give one of them as path" in line
    assert len(read(params("cifar10", parquet / "cifar-10-batches-py")).train) == 20


def test_files_of_another_data_set_are_passed_over(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_cifar("cifar100", monkeypatch)
    assert "does not hold CIFAR-100" in refusal("cifar100", parquet)
    pq.write_table(pa.table({"label": [0, 1]}), parquet / "train.parquet")
    assert len(read(params("cifar10", parquet)).train) == 20


def test_the_search_is_bounded(parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    deep.mkdir(parents=True)
    (parquet / "plain_text").rename(deep / "plain_text")
    assert "does not hold CIFAR-10" in refusal("cifar10", tmp_path)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert len(read(params("cifar10", deep)).train) == 20
    monkeypatch.setattr(cifar, "MAX_FOLDERS", 3)
    assert "more than 3 folders" in refusal("cifar10", tmp_path)


def test_a_download_is_checked_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    small, _ = write_python(tmp_path / "made" / "cifar-10-batches-py", "cifar10", monkeypatch)
    archive = tmp_path / "site" / small.archive
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    asked: list[str] = []

    def copied(url: str, folder: str, filename: str, md5: str) -> None:
        asked.append(url)
        data = archive.read_bytes()
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
            raise RuntimeError("File not found or corrupted.\nsecond line")
        shutil.copytree(tmp_path / "made", folder, dirs_exist_ok=True)

    monkeypatch.setattr(torchvision("datasets.utils"), "download_and_extract_archive", copied)
    with pytest.raises(
        UserError, match=r"cannot fetch https://www.cs.toronto.edu/.*\(File not found or corrupted\.\)$"
    ):
        fetch(small, tmp_path / "data")
    md5 = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(cifar.BY_KIND, "cifar10", replace(small, archive_md5=md5))
    wanted = replace(params("cifar10", tmp_path / "data"), download=True)
    assert len(read(wanted).train) == len(read(wanted).train) == 20
    assert asked == [small.url] * 2
    (tmp_path / "data" / small.folder / "data_batch_2").write_bytes(b"cut off")
    assert len(read(wanted).train) == 20
    assert len(asked) == 3
    with pytest.raises(UserError, match="download needs a path"):
        read(replace(wanted, path=None))


def test_without_a_network_a_download_fails_in_one_line(tmp_path: Path) -> None:
    wanted = Dataset(kind="cifar10", path=str(tmp_path), download=True)
    with pytest.raises(UserError, match="dataset cifar10: cannot fetch https://") as caught:
        read(wanted)
    assert str(caught.value).isprintable()
