"""Labelled images in memory: what every reader returns, checked once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.data.labels import check_labels
from robustdd.errors import UserError


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with the labels that they came with, in one fixed order; raises UserError when a part does not fit.

    images: uint8 [n, channels, height, width], 0..255. labels: int64 [n], 0..classes-1, as given, right or wrong.
    ids: n unique names, stable over reorderings and splits. class_names: one unique name a class. clean: the right
    labels, int64 [n], where the source vouches for them; None where nobody knows, as with most data of one's own.
    """

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    class_names: tuple[str, ...]
    clean: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.dim() != 4:
            raise UserError(f"images: expected uint8 [n, channels, height, width], got {_kind(self.images)}")
        if 0 in self.images.shape:
            raise UserError(f"images: expected at least one image with at least one pixel, got {_kind(self.images)}")
        _check_unique(self.class_names, "class names")
        check_labels(self.labels, len(self.images), len(self.class_names))
        if self.clean is not None:
            check_labels(self.clean, len(self.images), len(self.class_names), "clean labels")
        if len(self.ids) != len(self.images):
            raise UserError(f"ids: expected {len(self.images)}, one an image, got {len(self.ids)}")
        _check_unique(self.ids, "ids")

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: Tensor) -> ImageSet:
        """The images of the positions `rows`, int64 [m], in that order, as a copy."""
        ids = tuple(self.ids[row] for row in rows.tolist())
        clean = None if self.clean is None else self.clean[rows]
        return ImageSet(self.images[rows], self.labels[rows], ids, self.class_names, clean)


@dataclass(frozen=True, eq=False)
class Split:
    """Training images and, where they exist, test images of the same classes; raises UserError when they differ."""

    train: ImageSet
    test: ImageSet | None

    def __post_init__(self) -> None:
        if self.test is None:
            return
        if self.test.class_names != self.train.class_names:
            raise UserError("test images: expected the class names of the training images in the same order")
        if self.test.images.shape[1:] != self.train.images.shape[1:]:
            wanted, given = list(self.train.images.shape[1:]), list(self.test.images.shape[1:])
            raise UserError(f"test images: expected the shape of the training images {wanted}, got {given}")
        shared = sorted(set(self.train.ids) & set(self.test.ids))
        if shared:
            raise UserError(f"test images: {len(shared)} ids are training images too, the first is {shared[0]!r}")


def _check_unique(names: tuple[str, ...], what: str) -> None:
    if not names:
        raise UserError(f"{what}: expected at least one")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(f"{what}: expected every one once, got {name!r} {times} times")


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
