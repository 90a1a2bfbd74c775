"""The pointwise part of a block, instance norm, ReLU and 2x2 average pooling, as eight expressions for a compiler.

Each is one or two passes over the planes when compiled, and the same mathematics as `eager_block`, which overwrites
its tensors so as to be fast without a compiler. Planes [n, h, 2, w, 2, C] are channels-last and split for the pool, so
that the gradient in a pooled image [n, h, 1, w, 1, C] needs no unpooling. Coefficients of a plane are
[n, 1, 1, 1, 1, C], shifts [C]. Planes, and what is given for the next convolution, may be narrow (see
`robustdd.engine.conv`); coefficients and sums are wide. With `centred` the planes less their mean, the norm's result is
gain * centred + shift.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from robustdd.engine.conv import Arithmetic, narrow
from robustdd.engine.eager_block import EPSILON

PLANE = (1, 2, 3, 4)


def moments(planes: Tensor, wide: torch.dtype) -> tuple[Tensor, Tensor]:
    """Mean and 1 / deviation of every plane."""
    values = planes.to(wide)
    mean = values.mean(PLANE, keepdim=True)
    return mean, ((values - mean).square().mean(PLANE, keepdim=True) + EPSILON).rsqrt()


def activate(planes: Tensor, mean: Tensor, gain: Tensor, shift: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Pooled images of planes, narrow."""
    return narrow(_pool(F.relu((planes.to(mean) - mean) * gain + shift)), arithmetic)


def joint_moments(planes: Tensor, tangents: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the tangents of planes, and their covariance with the planes."""
    moved = tangents.to(mean)
    return moved.mean(PLANE, keepdim=True), (moved * (planes.to(mean) - mean)).mean(PLANE, keepdim=True)


def activate_tangent(
    planes: Tensor,
    tangents: Tensor,
    mean: Tensor,
    gain: Tensor,
    shift: Tensor,
    mean_tangent: Tensor,
    gain_tangent: Tensor,
    shift_tangent: Tensor,
    arithmetic: Arithmetic,
) -> Tensor:
    """Tangent of the pooled images, narrow."""
    centred = planes.to(mean) - mean
    moved = (tangents.to(mean) - mean_tangent) * gain + centred * gain_tangent + shift_tangent
    return narrow(_pool(torch.where(centred * gain + shift > 0, moved, 0)), arithmetic)


def slopes(above: Tensor, planes: Tensor, mean: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over a plane of the gradient after the norm, and of it times the centred plane."""
    centred = planes.to(mean) - mean
    through = torch.where(centred * gain + shift > 0, above.to(mean) * 0.25, 0)
    return through.sum(PLANE, keepdim=True), (through * centred).sum(PLANE, keepdim=True)


def planes_gradient(
    above: Tensor,
    planes: Tensor,
    mean: Tensor,
    gain: Tensor,
    shift: Tensor,
    constant: Tensor,
    share: Tensor,
    arithmetic: Arithmetic,
) -> Tensor:
    """Gradient in planes, narrow: gain * the gradient after the norm - share * centred - constant."""
    centred = planes.to(mean) - mean
    through = torch.where(centred * gain + shift > 0, above.to(mean) * (0.25 * gain), 0)
    return narrow(through - centred * share - constant, arithmetic)


def slopes_tangent(
    above: Tensor,
    above_tangent: Tensor,
    planes: Tensor,
    tangents: Tensor,
    mean: Tensor,
    gain: Tensor,
    shift: Tensor,
    mean_tangent: Tensor,
) -> tuple[Tensor, Tensor]:
    """Tangents of the two sums of `slopes`."""
    centred, moved = planes.to(mean) - mean, tangents.to(mean) - mean_tangent
    passes = centred * gain + shift > 0
    through_tangent = torch.where(passes, above_tangent.to(mean) * 0.25, 0)
    products = torch.where(passes, above_tangent.to(mean) * centred + above.to(mean) * moved, 0) * 0.25
    return through_tangent.sum(PLANE, keepdim=True), products.sum(PLANE, keepdim=True)


def planes_gradient_tangent(
    above: Tensor,
    above_tangent: Tensor,
    planes: Tensor,
    tangents: Tensor,
    mean: Tensor,
    gain: Tensor,
    shift: Tensor,
    mean_tangent: Tensor,
    gain_tangent: Tensor,
    constant: Tensor,
    share: Tensor,
    share_tangent: Tensor,
    arithmetic: Arithmetic,
) -> Tensor:
    """Tangent of what `planes_gradient` gives, narrow, by the tangents of its coefficients."""
    centred, moved = planes.to(mean) - mean, tangents.to(mean) - mean_tangent
    through = above_tangent.to(mean) * (0.25 * gain) + above.to(mean) * (0.25 * gain_tangent)
    through = torch.where(centred * gain + shift > 0, through, 0)
    return narrow(through - moved * share - centred * share_tangent - constant, arithmetic)


def _pool(images: Tensor) -> Tensor:
    """Means [n, h, 1, w, 1, C] of images [n, h, 2, w, 2, C]; images [n, h, 1, w, 1, C] as they are."""
    if images.shape[2] == 1:
        return images
    rows = images[:, :, 0:1] + images[:, :, 1:2]
    return (rows[:, :, :, :, 0:1] + rows[:, :, :, :, 1:2]) * 0.25
