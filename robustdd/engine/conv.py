"""3x3 convolutions as expressions, for a compiler to fuse around, in float32 or with operands rounded to bfloat16; and
the choice of those that the project's own C++ computes (`robustdd.engine.native.cpu`).

Images are channels-last [n, h, w, c], with zeros around. Whatever the arithmetic, a result is given as the operands of
`compiled` are: in the floating type of the parameters, or in bfloat16, which every other expression widens first.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from robustdd.engine.native import pixel_gradient, winograd

Arithmetic = Literal["native", "winograd", "bfloat16", "rounded"]
"""`native`: the floating type of what is given. `winograd`: the same type, by the project's own C++ where it fits.
`bfloat16`: operands and results of that type, sums in float32, by the processor's own instructions. `rounded`: the same
values in float32, for a processor without them; slower than native.
"""

WINDOWED_CHANNELS = 4
"""Images of so few channels are copied out as windows, but for float32 on a CPU: one matrix product is faster there
than a convolution."""


def arithmetic_of(precision: str, device: torch.device) -> Arithmetic:
    """How `precision` is computed on this device."""
    if precision != "bfloat16":
        return "native"
    return "bfloat16" if device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported() else "rounded"


def narrow(values: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Values as an operand: rounded, to the nearest and ties to even, where the arithmetic asks for it.

    `rounded` works on the bits, since a compiler takes a cast there and back for no operation.
    """
    if arithmetic in ("native", "winograd"):
        return values
    if arithmetic == "bfloat16":
        return values.bfloat16()
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000).view(torch.float32)


def convolve(images: Tensor, kernel: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Images [n, h, w, out] under a kernel [out, in, 3, 3]; both narrow."""
    if _windowed(images, arithmetic):
        rows = torch.mm(windows(images), kernel.permute(2, 3, 1, 0).reshape(-1, len(kernel)))
        return rows.view(*images.shape[:3], len(kernel))
    if arithmetic == "winograd" and winograd.fits(images.shape[3], len(kernel), images.dtype):
        return winograd.convolve(images, kernel)
    found = F.conv2d(images.permute(0, 3, 1, 2), kernel, padding=1).permute(0, 2, 3, 1).contiguous()
    return narrow(found, arithmetic) if arithmetic == "rounded" else found


def kernel_gradient(images: Tensor, gradient: Tensor, arithmetic: Arithmetic, wide: torch.dtype) -> Tensor:
    """Gradient [out, in, 3, 3], of type `wide`, of a kernel whose result has the gradient [n, h, w, out]; narrow."""
    channels, out = images.shape[3], gradient.shape[3]
    if _windowed(images, arithmetic):
        matrix = torch.mm(windows(images).t(), gradient.reshape(-1, out))
        return matrix.to(wide).view(3, 3, channels, out).permute(3, 2, 0, 1)
    if arithmetic == "winograd" and winograd.fits(channels, out, images.dtype):
        return winograd.kernel_gradient(images, gradient)
    above, below = gradient.permute(0, 3, 1, 2), images.permute(0, 3, 1, 2)
    like = images.new_empty(out, channels, 3, 3)
    ones, mask = [1, 1], [False, True, False]
    backward = torch.ops.aten.convolution_backward.default
    found: Tensor = backward(above, below, like, None, ones, ones, ones, False, [0, 0], 1, mask)[1]
    return found.to(wide)


def pixel_tangent(
    gradient: Tensor,
    gradient_tangent: Tensor,
    kernel: Tensor,
    kernel_tangent: Tensor,
    arithmetic: Arithmetic,
    wide: torch.dtype,
) -> Tensor:
    """Tangent [n, in, h, w], of type `wide`, of the gradient in images, of gradients [n, h, w, out]; all narrow.

    By matrix products and a fold: the images have too few channels for a convolution to be fast.
    """
    count, height, width, out = gradient.shape
    if arithmetic == "winograd" and pixel_gradient.fits(kernel, width):
        return pixel_gradient.gradient_in_pixels(gradient_tangent, gradient, kernel, kernel_tangent)
    values, tangents = gradient.reshape(-1, out), gradient_tangent.reshape(-1, out)
    shares = torch.mm(tangents, kernel.flatten(1)).to(wide) + torch.mm(values, kernel_tangent.flatten(1)).to(wide)
    if gradient.device.type != "cpu":
        return folded_by_sums(shares.view(count, height, width, -1, 3, 3))
    return F.fold(shares.view(count, height * width, -1).transpose(1, 2), (height, width), 3, padding=1)


def folded_by_sums(cells: Tensor) -> Tensor:
    """The windows [n, h, w, c, 3, 3] around all pixels, added where they overlap: images [n, c, h, w].

    As `F.fold`, which a compiler for a GPU makes an addition in an order that changes from run to run.
    """
    height, width = cells.shape[1:3]
    padded = F.pad(cells, (0, 0, 0, 0, 0, 0, 1, 1, 1, 1))
    total = torch.zeros_like(cells[..., 0, 0])
    for row in range(3):
        for column in range(3):
            total = total + padded[:, 2 - row : 2 - row + height, 2 - column : 2 - column + width, :, row, column]
    return total.permute(0, 3, 1, 2).contiguous()


def windows(images: Tensor) -> Tensor:
    """All 3x3 windows of the images, as the rows of one matrix [n * h * w, 9 * c]."""
    count, height, width, channels = images.shape
    padded = F.pad(images, (0, 0, 1, 1, 1, 1))
    parts = [padded[:, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return torch.stack(parts, 3).view(count * height * width, 9 * channels)


def _windowed(images: Tensor, arithmetic: Arithmetic) -> bool:
    slow = arithmetic == "bfloat16" or images.device.type != "cpu"
    return slow and images.shape[3] <= WINDOWED_CHANNELS
