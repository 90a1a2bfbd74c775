"""3x3 convolutions of many channels on a CPU with a quarter of the multiplications, by `winograd.cpp`.

Source: Winograd's F(4x4, 3x3), Lavin and Gray 2016, section 4.3; the gradient of the kernel is the transpose of that.
"""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from robustdd.engine.native import cpu

IN, OUT = 16, 32
"""The channels of images are a multiple of IN, those of results of OUT."""
POINTS = 36
"""Products of a tile of 4x4 pixels, for each pair of channels."""
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""What makes six values of three of a kernel, the matrix G of the source."""


def fits(channels: int, out: int, dtype: torch.dtype) -> bool:
    """Whether images of so many channels can be convolved to so many, in this type."""
    return channels % IN == 0 and out % OUT == 0 and dtype in cpu.TYPES


def convolve(images: Tensor, kernel: Tensor) -> Tensor:
    """Images [n, h, w, out], of images [n, h, w, in] under a kernel [out, in, 3, 3], with zeros around.

    ValueError where they do not belong together, or do not fit.
    """
    images = images.contiguous()
    out, channels = kernel.shape[:2]
    if channels != images.shape[3] or not fits(channels, out, images.dtype):
        raise ValueError(f"a kernel {tuple(kernel.shape)} does not fit images {tuple(images.shape)} of {images.dtype}")
    cells = torch.mm(_kernel_points(kernel.dtype), kernel.permute(2, 3, 1, 0).reshape(9, channels * out))
    planes = images.new_empty(*images.shape[:3], out)
    cpu.run("convolve", (images, cells, planes), (*images.shape, out, _shares(images)))
    return planes


def kernel_gradient(images: Tensor, gradient: Tensor) -> Tensor:
    """Gradient [out, in, 3, 3] of a kernel that makes of images [n, h, w, in] what has the gradient [n, h, w, out].

    ValueError where they do not belong together, or do not fit.
    """
    images, gradient = images.contiguous(), gradient.contiguous()
    channels, out = images.shape[3], gradient.shape[3]
    if images.shape[:3] != gradient.shape[:3] or not fits(channels, out, images.dtype):
        shapes = f"{tuple(gradient.shape)} does not fit images {tuple(images.shape)} of {images.dtype}"
        raise ValueError(f"a gradient {shapes}")
    count = _shares(images)
    found = images.new_empty(count, POINTS, channels * out)
    cpu.run("kernel_gradient", (images, gradient, found[0], found[1:]), (*images.shape, out, count))
    return torch.mm(_kernel_points(images.dtype).t(), found[0]).view(3, 3, channels, out).permute(3, 2, 0, 1)


@cache
def _kernel_points(dtype: torch.dtype) -> Tensor:
    """Matrix [36, 9] that makes the values of a kernel that a tile's are multiplied by, of its nine."""
    one = torch.tensor(_KERNEL, dtype=torch.float64)
    return torch.einsum("ia,jb->ijab", one, one).reshape(POINTS, 9).to(dtype)


def _shares(images: Tensor) -> int:
    """How many threads can have a share of the work."""
    numbers = (*images.shape[:3], torch.get_num_threads())
    found: int = cpu.library(images.dtype).shares(*map(ctypes.c_long, numbers))
    return found
