"""3x3 convolutions with zeros around, of channels-last images that are prepared once for several kernels.

A dual is a tensor whose first half is a value and whose second half is its tangent: images [2n, h, w, c], kernels
[2, out, in, 3, 3]. Convolution is linear in both, so that the tangent of a result is two convolutions.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

UNFOLDED_VALUES = 2**19
"""Up to so many values all windows are copied out: one matrix product is then faster than a library's convolution."""
UNFOLDED_CHANNELS = 4
"""So it is, whatever the size, for images of so few channels."""


class Convolution(Protocol):
    """A batch of images [n, h, w, in], or a dual of one."""

    def convolve(self, kernel: Tensor) -> Tensor:
        """Images [n, h, w, out] under a kernel [out, in, 3, 3]."""

    def convolve_both(self, kernels: Tensor) -> Tensor:
        """Dual [2n, h, w, out] of these images, which have no tangent, under a dual of kernels."""

    def convolve_dual(self, kernels: Tensor) -> Tensor:
        """Dual [2n, h, w, out] of this dual under a dual of kernels."""

    def kernel_gradient(self, gradient: Tensor) -> Tensor:
        """Gradient [out, in, 3, 3] of a kernel whose result has the gradient [n, h, w, out]."""

    def kernel_tangent(self, gradients: Tensor) -> Tensor:
        """Tangent of that gradient, of this dual and of a dual of gradients [2n, h, w, out]."""


def prepare(images: Tensor) -> Convolution:
    """Make images [n, h, w, in] ready to be convolved, in the way that is the faster one for their size and device."""
    small = images.shape[3] <= UNFOLDED_CHANNELS or 9 * images.numel() <= UNFOLDED_VALUES
    return _Unfolded(images) if small and images.device.type == "cpu" else _Direct(images)


def turned(kernels: Tensor) -> Tensor:
    """Kernels [..., in, out, 3, 3] that carry a gradient back from the result of [..., out, in, 3, 3] to its images."""
    return kernels.flip(-1, -2).transpose(-4, -3)


def image_tangent(gradients: Tensor, kernels: Tensor) -> Tensor:
    """Tangent [n, in, h, w] of the gradient in the images, of duals of gradients [2n, h, w, out] and kernels.

    By matrix products and a fold: the images have too few channels for a convolution to be fast.
    """
    double, height, width, out = gradients.shape
    values, tangents = gradients.view(2, -1, out).unbind()
    kernel, kernel_tangent = kernels.flatten(2).unbind()
    windows = torch.mm(tangents, kernel).addmm_(values, kernel_tangent)
    return F.fold(windows.view(double // 2, height * width, -1).transpose(1, 2), (height, width), 3, padding=1)


class _Unfolded:
    """All 3x3 windows of the images, as the rows of one matrix [n * h * w, 9 * in]."""

    def __init__(self, images: Tensor) -> None:
        count, height, width, channels = images.shape
        padded = images.new_zeros(count, height + 2, width + 2, channels)
        padded[:, 1:-1, 1:-1] = images
        image, row, pixel, _ = padded.stride()
        windows = padded.as_strided((count, height, width, 3, 3 * channels), (image, row, pixel, row, 1))
        self.size = (-1, height, width)
        self.rows = windows.reshape(count * height * width, 9 * channels)

    def convolve(self, kernel: Tensor) -> Tensor:
        return torch.mm(self.rows, _matrices(kernel)).view(*self.size, len(kernel))

    def convolve_both(self, kernels: Tensor) -> Tensor:
        result = self.rows.new_empty(2, len(self.rows), kernels.shape[1])
        for half, matrix in zip(result.unbind(), _matrices(kernels).unbind(), strict=True):
            torch.mm(self.rows, matrix, out=half)
        return result.view(*self.size, kernels.shape[1])

    def convolve_dual(self, kernels: Tensor) -> Tensor:
        value, tangent = _matrices(kernels).unbind()
        half = len(self.rows) // 2
        result = torch.mm(self.rows, value)
        result[half:].addmm_(self.rows[:half], tangent)
        return result.view(*self.size, kernels.shape[1])

    def kernel_gradient(self, gradient: Tensor) -> Tensor:
        return _kernel(torch.mm(self.rows.t(), gradient.reshape(-1, gradient.shape[3])))

    def kernel_tangent(self, gradients: Tensor) -> Tensor:
        value, tangent = gradients.view(2, -1, gradients.shape[3]).unbind()
        half = len(self.rows) // 2
        return _kernel(torch.mm(self.rows[:half].t(), tangent).addmm_(self.rows[half:].t(), value))


class _Direct:
    """The images as the library's convolutions take them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images.permute(0, 3, 1, 2)

    def convolve(self, kernel: Tensor) -> Tensor:
        return _convolve(self.images, kernel)

    def convolve_both(self, kernels: Tensor) -> Tensor:
        return torch.cat([_convolve(self.images, kernel) for kernel in kernels])

    def convolve_dual(self, kernels: Tensor) -> Tensor:
        half = len(self.images) // 2
        result = _convolve(self.images, kernels[0])
        result[half:] += _convolve(self.images[:half], kernels[1])
        return result

    def kernel_gradient(self, gradient: Tensor) -> Tensor:
        return _kernel_gradient(self.images, gradient)

    def kernel_tangent(self, gradients: Tensor) -> Tensor:
        half = len(self.images) // 2
        tangent = _kernel_gradient(self.images[:half], gradients[half:])
        return tangent.add_(_kernel_gradient(self.images[half:], gradients[:half]))


def _matrices(kernels: Tensor) -> Tensor:
    """Kernels [..., out, in, 3, 3] as matrices [..., 9 * in, out], in the order of a window's values."""
    order = (2, 3, 1, 0) if kernels.dim() == 4 else (0, 3, 4, 2, 1)
    return kernels.permute(order).reshape(*kernels.shape[:-4], -1, kernels.shape[-4])


def _kernel(matrix: Tensor) -> Tensor:
    """The kernel [out, in, 3, 3] that a matrix [9 * in, out] stands for."""
    return matrix.view(3, 3, -1, matrix.shape[1]).permute(3, 2, 0, 1)


def _convolve(images: Tensor, kernel: Tensor) -> Tensor:
    return F.conv2d(images, kernel, padding=1).permute(0, 2, 3, 1).contiguous()


def _kernel_gradient(images: Tensor, gradient: Tensor) -> Tensor:
    above = gradient.permute(0, 3, 1, 2)
    like = images.new_empty(above.shape[1], images.shape[1], 3, 3)
    ones, mask = [1, 1], [False, True, False]
    backward = torch.ops.aten.convolution_backward.default
    found: Tensor = backward(above, images, like, None, ones, ones, ones, False, [0, 0], 1, mask)[1]
    return found
