"""Instance norm, ReLU and 2x2 average pooling by hand: forward and back, with and without a tangent along.

Channels-last: planes [n, pixels, C], pooled images [n, h, w, C]. With `centred` the planes less their means, the
norm's result is gain * centred + shift, where gain = scale * rstd; every derivative is a combination of the same few
tensors, with one coefficient a plane. A dual holds values, then tangents. What is given or kept is overwritten: a large
set's time goes into fresh memory, a small one's into the number of calls.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5
"""As in torch.nn.GroupNorm."""

Size = tuple[int, int]


class Kept(NamedTuple):
    """What the way back needs: centred planes, 1 / deviation and gain [n, 1, C], and the result before pooling."""

    size: Size
    centred: Tensor
    rstd: Tensor
    gain: Tensor
    active: Tensor


class KeptDual(NamedTuple):
    """What the way back needs: a dual of centred planes, [n, 1, C] coefficients, and 1 where the ReLU lets through."""

    size: Size
    centred: Tensor
    rstd: Tensor
    drift: Tensor
    """Tangent of rstd, over -rstd."""
    gain: Tensor
    gain_tangent: Tensor
    mask: Tensor
    scratch: Tensor
    """Memory of a dual of planes."""


def forward(planes: Tensor, scale: Tensor, shift: Tensor, size: Size) -> tuple[Tensor, Kept]:
    """Pooled images of planes, scale [C] and shift [C]."""
    centred = planes.sub_(planes.mean(1, keepdim=True))
    active = centred * centred
    rstd = active.mean(1, keepdim=True).add_(EPSILON).rsqrt_()
    gain = rstd * scale
    torch.addcmul(shift, centred, gain, out=active).relu_()
    return _pool(active, size), Kept(size, centred, rstd, gain, active)


def backward(above: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients in planes, scale and shift, of the gradient in the pooled images."""
    size, centred, rstd, gain, active = kept
    above = _unpool(above, size).mul_(active.sign_())
    total = above.sum(1, keepdim=True)
    slope = torch.mul(above, centred, out=active).sum(1, keepdim=True).mul_(rstd)
    found = slope.sum((0, 1)), total.sum((0, 1))
    pixels = above.shape[1]
    above.sub_(total.div_(pixels)).addcmul_(centred, slope.mul_(rstd).div_(pixels), value=-1)
    return above.mul_(gain), *found


def forward_dual(planes: Tensor, scale: Tensor, shift: Tensor, size: Size) -> tuple[Tensor, KeptDual]:
    """Dual of pooled images [2n, ...], of duals of planes [2, n, ...], scale [2, 1, 1, C] and shift [2, 1, 1, C]."""
    centred = planes.sub_(planes.mean(2, keepdim=True))
    value = centred[0]
    active = centred * value
    variance, covariance = active.mean(2, keepdim=True).unbind()
    rstd = variance.add_(EPSILON).rsqrt_()
    drift = covariance.mul_(rstd).mul_(rstd)
    gain, gain_tangent = (scale * rstd).unbind()
    gain_tangent.addcmul_(drift, gain, value=-1)
    active_value, active_tangent = torch.addcmul(shift, centred, gain, out=active).unbind()
    active_tangent.addcmul_(value, gain_tangent)
    mask = active_value.relu_().sign()
    active_tangent.mul_(mask)
    kept = KeptDual(size, centred, rstd, drift, gain, gain_tangent, mask, active)
    return _pool(active.flatten(0, 1), size), kept


def backward_dual(above: Tensor, kept: KeptDual) -> tuple[Tensor, Tensor, Tensor]:
    """Dual of the gradient in planes, and tangents of those in scale and shift, of the dual in the pooled images."""
    size, centred, rstd, drift, gain, gain_tangent, mask, scratch = kept
    value, tangent = centred.unbind()
    above = _unpool(above, size).view_as(centred).mul_(mask)
    above_value, above_tangent = above.unbind()
    pixels = mask.shape[1]
    mean = above.mean(2, keepdim=True)
    shift_tangent = mean[1].sum((0, 1)).mul_(pixels)
    slopes = torch.mul(above, value, out=scratch).sum(2, keepdim=True)
    slope, slope_tangent = slopes.unbind()
    slope_tangent.add_(torch.mul(above_value, tangent, out=scratch[0]).sum(1, keepdim=True))
    slope_tangent.addcmul_(drift, slope, value=-1)
    scale_tangent = (slope_tangent * rstd).sum((0, 1))
    slope_tangent.addcmul_(drift, slope, value=-1)
    slopes.mul_((rstd * rstd).div_(pixels))
    above.sub_(mean).addcmul_(value, slopes, value=-1)
    above_tangent.addcmul_(tangent, slope, value=-1)
    above_tangent.mul_(gain).addcmul_(above_value, gain_tangent)
    above_value.mul_(gain)
    return above, scale_tangent, shift_tangent


def _pool(planes: Tensor, size: Size) -> Tensor:
    """Pooled images [n, h, w, C] of planes [n, pixels, C]."""
    images = planes.view(-1, *size, planes.shape[2]).permute(0, 3, 1, 2)
    return F.avg_pool2d(images, 2).permute(0, 2, 3, 1)


def _unpool(above: Tensor, size: Size) -> Tensor:
    """Gradient in the planes [n, pixels, C] of that in their pooled images [n, h, w, C]."""
    images = F.interpolate(above.permute(0, 3, 1, 2) / 4, scale_factor=2.0)
    if images.shape[2:] != size:
        images = F.pad(images, (0, size[1] % 2, 0, size[0] % 2))
    return images.permute(0, 2, 3, 1).contiguous().flatten(1, 2)
