"""Reading a CIFAR in tests, and being refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustdd.data.read import read
from robustdd.errors import RobustddError
from robustdd.params import Dataset
from tests.data.image_files import small_cifar, write_parquet


def params(kind: str, path: Path | None) -> Dataset:
    return Dataset(kind=kind, path=None if path is None else str(path))  # type: ignore[arg-type]


def refusal(kind: str, path: Path | None) -> str:
    with pytest.raises(RobustddError) as caught:
        read(params(kind, path))
    line = str(caught.value)
    assert caught.value.exit_code == 2
    assert line.isprintable() and len(line) < 500
    return line


def write_parts(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small CIFAR-10 of 20 and 10 images in three parquet files of Hugging Face."""
    small = small_cifar("cifar10", monkeypatch)
    write_parquet(root / "plain_text" / "train-00000-of-00002.parquet", small, 12)
    write_parquet(root / "plain_text" / "train-00001-of-00002.parquet", small, 8, first=12)
    write_parquet(root / "plain_text" / "test-00000-of-00001.parquet", small, 10, first=100)
    return root
