"""Bilinear resampling of images, with a backward that is deterministic on every device.

On the CPU this is `grid_sample`. Elsewhere the backward of `grid_sample` and of `gather` adds with atomics, in an order
that changes from run to run, so there it is matrix products and sums.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK_VALUES = 2**26


def places_of(size: int, like: Tensor) -> Tensor:
    """Positions [size] of an axis in pixels, in the type and on the device of `like`: a copy to a GPU would wait."""
    return torch.arange(size, dtype=like.dtype, device=like.device)


def lattice(images: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of the pixels from -1 to 1, corners aligned: rows [height, 1] and columns [width].

    An axis of one pixel lies at 0, as in `affine_grid`.
    """
    row, column = ((2 * places_of(size, images) - (size - 1)) / max(size - 1, 1) for size in images.shape[2:])
    return row[:, None], column


def warp(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Sample images [n, channels, height, width] bilinearly at given places, zero beyond the image.

    `rows` and `columns` are coordinates as of `lattice`, broadcastable to [n, height, width].
    """
    if images.device.type == "cpu":
        shape = (len(images), *images.shape[2:])
        grid = torch.stack((columns.expand(shape), rows.expand(shape)), 3)
        return F.grid_sample(images, grid, align_corners=True)
    return warp_by_products(images, rows, columns)


def warp_by_products(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same as `warp` in matrix products and sums alone, some samples at a time so that it takes little memory."""
    height, width = images.shape[2:]
    rows, columns = (
        ((axis + 1) * ((size - 1) / 2)).expand(len(images), height, width).flatten(1)
        for axis, size in ((rows, height), (columns, width))
    )
    chunk = max(1, CHUNK_VALUES // (images[0].numel() * width))
    parts = zip(*(torch.split(tensor, chunk) for tensor in (images, rows, columns)), strict=True)
    return torch.cat([_interpolate(*part) for part in parts])


def shift(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Shift each image by whole pixels, rows [n] up and columns [n] to the left, zero fill.

    One matrix of ones and zeros from each side, hence exact.
    """
    choose_rows, choose_columns = (
        _hats(places_of(size, images) + by[:, None], size)[:, None]
        for by, size in zip((rows, columns), images.shape[2:], strict=True)
    )
    return choose_rows @ images @ choose_columns.transpose(2, 3)


def _interpolate(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Interpolate for each output pixel between the rows of the source, then along its columns.

    `rows` and `columns` [n, height * width] are in pixels.
    """
    count, channels, height, width = images.shape
    source = images.transpose(1, 2).reshape(count, height, channels * width)
    lines = (_hats(rows, height) @ source).view(count, height * width, channels, width)
    pixels = (lines * _hats(columns, width)[:, :, None]).sum(3)
    return pixels.transpose(1, 2).reshape(images.shape)


def _hats(places: Tensor, size: int) -> Tensor:
    """Bilinear weights [..., size] of the pixels of one axis at `places` [...] in pixels; all zero beyond the image."""
    return F.relu(1 - (places[..., None] - places_of(size, places)).abs())
