"""A file system of 64 KiB, for tests of full and read-only disks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def tiny_disk(place: Path) -> Iterator[Path]:
    """Mount 64 KiB at `place`; the test is skipped where that is not allowed."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if (
        os.geteuid()
        or not shutil.which("mount")
        or subprocess.run(command, check=False, capture_output=True).returncode
    ):
        pytest.skip("mounting a tmpfs needs root and the right to mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
