"""Images of one's own in a folder: where its parts lie, and reading them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path

import torch

from robustdd.data.image_set import ImageSet
from robustdd.data.label_table import NAMES
from robustdd.data.parts import Part, list_part
from robustdd.data.source import Absent
from robustdd.errors import UserError
from robustdd.params import Dataset


class Folder:
    """The folder of images that `params.path`, seen from `base`, names.

    Its training images lie in train/ and its test images in test/, each with a folder a class, or with a labels.csv or
    labels.parquet of its own; without train/, the folder itself holds the training images and there are no others.
    Raises UserError, in one line, for a layout or labels that do not fit, before any image is opened.
    """

    def __init__(self, params: Dataset, base: Path) -> None:
        if params.path is None:
            raise UserError("dataset folder: has no path; give that of a folder of images")
        self._params = params
        self.root = Path(os.path.realpath(base / os.path.expanduser(params.path)))
        if not os.path.isdir(self.root):
            raise Absent(f"dataset folder: {self.root} is no folder; expected one of images")
        place, test = _places(self.root, params.test_set)
        self._train = list_part(self.root, place, params.classes)
        self._test = None if test is None else list_part(self.root, test, self._train.class_names)

    @cached_property
    def files(self) -> Mapping[str, Path]:
        """Images and tables of labels, by their names from the root."""
        parts = [self._train] if self._test is None else [self._train, self._test]
        names = [name for part in parts for name in (*part.ids, *part.tables)]
        return {name: self.root / name for name in names}

    def train(self) -> ImageSet:
        """The training images, by id; raises UserError naming the image that cannot be used."""
        return self._read(self._train)

    def test(self) -> ImageSet | None:
        """The test images, by id, of the size of the training images; None where there are none."""
        return None if self._test is None else self._read(self._test)

    def _read(self, part: Part) -> ImageSet:
        from robustdd.data.decoding import Encoded, Shape, decode_all

        def encoded(name: str) -> Encoded:
            return str(self.root / name), partial(_bytes, self.root / name)

        shape = Shape(self._params.channels, self._params.image_size)
        images = decode_all([encoded(name) for name in part.ids], shape, like=encoded(self._train.ids[0]))
        clean = None if part.clean is None else torch.tensor(part.clean)
        return ImageSet(images, torch.tensor(part.labels), part.ids, part.class_names, clean)


def _places(root: Path, test_set: bool) -> tuple[str, str | None]:
    """Names of the folders of the training and of the test images; the root itself is ''."""
    together = any((root / name).exists() for name in NAMES) or not (root / "train").is_dir()
    if not test_set:
        return "" if together else "train", None
    if together or not (root / "test").is_dir():
        raise UserError(
            f"{root}: has no train/ and test/; expected both, or `test_set: false` with a `holdout` to measure on"
        )
    return "train", "test"


def _bytes(path: Path) -> bytes:
    from robustdd.data.decoding import MAX_BYTES

    try:
        with path.open("rb") as file:
            # One byte more than may be: it tells a larger file without reading all of it.
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
