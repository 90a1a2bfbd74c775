"""CIFAR from its original python files: checksums first, then a pickle that may hold plain values alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robustdd.data.catalog import Published
from robustdd.data.image_set import ImageSet
from robustdd.data.refusals import told_as
from robustdd.data.unpickling import load
from robustdd.errors import UserError

MAX_BYTES = 2**28
_SHAPE = (3, 32, 32)


class PythonFiles:
    """The original python files of a CIFAR in `folder`; raises UserError when one of them is missing."""

    def __init__(self, published: Published, folder: Path) -> None:
        self._published = published
        self.files: Mapping[str, Path] = {name: folder / name for name in published.checksums}
        missing = [name for name, path in self.files.items() if not path.is_file()]
        if missing:
            raise UserError(f"{folder}: lacks {missing[0]!r}; expected the files of {published.archive}")

    def train(self) -> ImageSet:
        """The 50,000 training images in the published order; raises UserError for other bytes than published."""
        return self._read("train", self._published.train_files)

    def test(self) -> ImageSet:
        """The 10,000 test images in the published order; raises UserError for other bytes than published."""
        return self._read("test", self._published.test_files)

    def whole(self) -> bool:
        """Whether every file has the published md5."""
        return all(_md5(path.read_bytes()) == self._published.checksums[name] for name, path in self.files.items())

    def _read(self, part: str, names: Mapping[str, str]) -> ImageSet:
        published = self._published
        self._check_classes()
        batches = [self._batch(name) for name in names]
        images = np.concatenate([pixels for pixels, _ in batches])
        labels = torch.tensor([label for _, some in batches for label in some])
        ids = tuple(f"{published.kind}-{part}-{row:05d}" for row in range(len(labels)))
        return ImageSet(torch.from_numpy(images), labels, ids, published.class_names, labels)

    def _check_classes(self) -> None:
        (name,) = self._published.meta_file
        given = self._load(name).get(self._published.names_key)
        names = tuple(one.decode("latin1") if isinstance(one, bytes) else str(one) for one in given or ())
        if names != self._published.class_names:
            raise UserError(f"{self.files[name]}: names other classes than {self._published.name}, or in another order")

    def _batch(self, name: str) -> tuple[NDArray[np.uint8], list[int]]:
        path, batch = self.files[name], self._load(name)
        pixels, labels = batch.get("data"), batch.get(self._published.labels_key)
        if not isinstance(pixels, np.ndarray) or not isinstance(labels, list):
            raise UserError(f"{path}: expected data and {self._published.labels_key}; fetch it anew")
        wanted = (len(labels), int(np.prod(_SHAPE)))
        if pixels.shape != wanted or not all(type(label) is int for label in labels):
            raise UserError(f"{path}: expected bytes {list(wanted)} and whole labels, found {list(pixels.shape)}")
        return pixels.reshape(-1, *_SHAPE), labels

    def _load(self, name: str) -> dict[Any, Any]:
        path = self.files[name]
        with told_as(f"{path}: cannot be read"), path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        # Only bytes that are known reach the unpickler.
        expected, found = self._published.checksums[name], _md5(data)
        if found != expected:
            raise UserError(f"{path}: has md5 {found}, expected {expected} of {self._published.name}; fetch it anew")
        with told_as(f"{path}: is no pickle of plain values"):
            return dict(load(data))


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
