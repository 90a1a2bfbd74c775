"""Reading a folder of images in tests, and being refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from robustdd.data.read import Split, read
from robustdd.errors import RobustddError
from robustdd.params import Dataset
from tests.data.image_files import class_folders


def folder(path: Path, **changes: Any) -> Dataset:
    return Dataset(kind="folder", path=str(path), **{"test_set": False, "holdout": 0.2, **changes})


def load(path: Path, **changes: Any) -> Split:
    return read(folder(path, **changes))


def refusal(path: Path, **changes: Any) -> str:
    started = time.process_time()
    with pytest.raises(RobustddError) as caught:
        load(path, **changes)
    assert time.process_time() - started < 1
    line = str(caught.value)
    assert caught.value.exit_code == 2 and line.isprintable() and len(line) < 500
    return line


def both(root: Path) -> Path:
    class_folders(root / "train")
    class_folders(root / "test", each=2, seed=50)
    return root
