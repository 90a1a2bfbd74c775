"""The images that networks see, either whole as floats or, where those are too many, whitened as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.data.whitening import Whitening

FLOAT_BYTES = 8 * 2**30
"""A set whose floats take more stays bytes. Of the set alone, not of the machine: results must not depend on that."""


@dataclass(frozen=True, eq=False)
class WhitenedBytes:
    """Images kept as `pixels`, uint8 [n, channels, height, width]; rows of it are whitened float32 tensors."""

    pixels: Tensor
    whitening: Whitening

    @property
    def shape(self) -> torch.Size:
        """[n, channels, height, width]."""
        return self.pixels.shape

    @property
    def device(self) -> torch.device:
        """Where the rows are whitened."""
        return self.pixels.device

    @property
    def dtype(self) -> torch.dtype:
        """That of the rows."""
        return torch.float32

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Whitened images of these rows, float32 [rows, channels, height, width]."""
        return self.whitening.apply(self.pixels[rows])


Images = Tensor | WhitenedBytes
"""Whitened images [n, channels, height, width]: `images[rows]` is a float32 tensor."""


def whitened(pixels: Tensor, whitening: Whitening, device: torch.device) -> Images:
    """uint8 images [n, channels, height, width] as networks see them, on `device`."""
    kept = WhitenedBytes(pixels.to(device), whitening.on(device))
    return kept[:] if 4 * pixels.numel() <= FLOAT_BYTES else kept


def part(images: Images, rows: Tensor) -> Images:
    """The images of these rows, int64 or a mask, kept as they are kept."""
    if isinstance(images, WhitenedBytes):
        return WhitenedBytes(images.pixels[rows], images.whitening)
    return images[rows]


def batches(images: Images, size: int) -> Iterator[Tensor]:
    """All images in order, float32, `size` at a time."""
    for start in range(0, len(images), size):
        yield images[start : start + size]
