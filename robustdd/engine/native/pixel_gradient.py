"""Gradients in the pixels of images of few channels on a CPU: no window goes through the memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from robustdd.engine.native import cpu

WIDTH = 8
"""The width of images is a multiple of it."""
COLUMNS = 32
"""Columns of a matrix product are a multiple of it: more than these nine times the channels are not worth it."""


def fits(kernel: Tensor, width: int) -> bool:
    """Whether gradients of so many pixels a row can be taken through a kernel [out, in, 3, 3]."""
    return width % WIDTH == 0 and 9 * kernel.shape[1] <= COLUMNS


def gradient_in_pixels(one: Tensor, other: Tensor, one_kernel: Tensor, other_kernel: Tensor) -> Tensor:
    """Sum [n, in, h, w] of what gradients [n, h, w, out] leave in images under kernels [out, in, 3, 3].

    All are of one type. Around the images are zeros. ValueError where they do not belong together, or do not fit.
    """
    count, height, width, out = one.shape
    together = one.shape == other.shape and one_kernel.shape == other_kernel.shape and len(one_kernel) == out
    if not (together and fits(one_kernel, width)):
        shapes = ", ".join(str(tuple(value.shape)) for value in (one, other, one_kernel, other_kernel))
        raise ValueError(f"gradients and kernels do not belong together, or do not fit: {shapes}")
    channels = one_kernel.shape[1]
    found = one.new_empty(count, channels, height, width)
    kernels = (_columns(one_kernel), _columns(other_kernel))
    sizes = (count, height, width, channels, out, COLUMNS)
    threads = max(1, min(count, torch.get_num_threads()))
    cpu.run("gradient_in_pixels", (one.contiguous(), other.contiguous(), *kernels, found), (*sizes, threads))
    return found


def _columns(kernel: Tensor) -> Tensor:
    """Kernel [out, in, 3, 3] as a matrix [out, COLUMNS], channels last, with zeros after them."""
    columns = kernel.permute(0, 2, 3, 1).flatten(1)
    return F.pad(columns, (0, COLUMNS - columns.shape[1]))
