"""A data set where it lies, before any image is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from robustdd.data.image_set import ImageSet
from robustdd.errors import UserError


class Absent(UserError):  # noqa: N818
    """The data is not on this machine, or nobody said where; what was made of it elsewhere may still be."""


class Source(Protocol):
    """Where the images of a data set are read from, each part by itself: decoding both would take twice the time."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Every file that is read, by a name that is the same on every machine."""

    def train(self) -> ImageSet:
        """The training images; raises UserError or CorruptArtifact when a file is not what it should be."""

    def test(self) -> ImageSet | None:
        """The test images, None where there are none; raises as `train`."""


def fingerprint(source: Source) -> str:
    """Sha256 over the names and the bytes of all files of `source`, in hex: equal data has it equal wherever it lies.

    Raises UserError when a file cannot be read.
    """
    total = hashlib.sha256()
    for name, path in sorted(source.files.items()):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()
