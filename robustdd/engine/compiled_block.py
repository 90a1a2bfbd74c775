"""One block after its convolution, instance norm, ReLU and pooling: forward, back, and the tangents of both.

The coefficients of the planes are formed here, and what is large in `pointwise`, compiled or as it is written.
Images are channels-last [n, h, w, C]; planes are split for the pool, see there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from robustdd.engine import pointwise as loops
from robustdd.engine.conv import Arithmetic

Loop = Callable[..., Any]


class Loops(NamedTuple):
    """The eight loops, as they are run."""

    moments: Loop = loops.moments
    activate: Loop = loops.activate
    joint_moments: Loop = loops.joint_moments
    activate_tangent: Loop = loops.activate_tangent
    slopes: Loop = loops.slopes
    planes_gradient: Loop = loops.planes_gradient
    slopes_tangent: Loop = loops.slopes_tangent
    planes_gradient_tangent: Loop = loops.planes_gradient_tangent


class Means(NamedTuple):
    """How a block is computed."""

    loops: Loops
    arithmetic: Arithmetic
    wide: torch.dtype
    whole: bool = False
    """Whether a whole step is compiled, and not its loops."""


class Block(NamedTuple):
    """Values of one block: split planes, and of each mean, 1 / deviation, scale [C], shift [C]."""

    planes: Tensor
    mean: Tensor
    rstd: Tensor
    scale: Tensor
    shift: Tensor

    @property
    def gain(self) -> Tensor:
        """The norm's result is gain * (planes - mean) + shift."""
        return self.rstd * self.scale


class BlockTangent(NamedTuple):
    """Tangents of planes, mean, scale and shift; and that of rstd, over -rstd."""

    planes: Tensor
    mean: Tensor
    drift: Tensor
    scale: Tensor
    shift: Tensor

    def gain(self, block: Block) -> Tensor:
        """Tangent of the block's gain."""
        return block.rstd * (self.scale - self.drift * block.scale)


class Gradients(NamedTuple):
    """Gradients in pooled images [n, h, w, C], split planes, scale and shift; and the two sums of `loops.slopes`."""

    above: Tensor
    planes: Tensor
    scale: Tensor
    shift: Tensor
    total: Tensor
    slope: Tensor


def forward(planes: Tensor, scale: Tensor, shift: Tensor, means: Means) -> tuple[Tensor, Block]:
    """Pooled images, narrow, of planes [n, h, w, C]."""
    cells = _split(planes)
    mean, rstd = means.loops.moments(cells, means.wide)
    block = Block(cells, mean, rstd, scale, shift)
    result = means.loops.activate(cells, block.mean, block.gain, shift, means.arithmetic)
    return _pooled(result, planes), block


def forward_tangent(
    block: Block, tangents: Tensor, scale: Tensor, shift: Tensor, means: Means
) -> tuple[Tensor, BlockTangent]:
    """Tangent, narrow, of the pooled images, of tangents of planes [n, h, w, C], of scale and shift."""
    cells = _split(tangents)
    mean, covariance = means.loops.joint_moments(block.planes, cells, block.mean)
    along = BlockTangent(cells, mean, covariance * block.rstd.square(), scale, shift)
    coefficients = (block.mean, block.gain, block.shift, mean, along.gain(block), shift)
    result = means.loops.activate_tangent(block.planes, cells, *coefficients, means.arithmetic)
    return _pooled(result, tangents), along


def backward(above: Tensor, block: Block, means: Means) -> Gradients:
    """Gradients of a block, of that in its pooled images [n, h, w, C]."""
    gain = block.gain
    given = (_spread(above, block.planes), block.planes, block.mean, gain, block.shift)
    total, slope = means.loops.slopes(*given)
    share = block.rstd.square() / _pixels(block)
    found = means.loops.planes_gradient(*given, gain * total / _pixels(block), gain * share * slope, means.arithmetic)
    return Gradients(above, found, (slope * block.rstd).sum(_ALL), total.sum(_ALL), total, slope)


def backward_tangent(
    above: Tensor, block: Block, along: BlockTangent, gradients: Gradients, means: Means
) -> tuple[Tensor, Tensor, Tensor]:
    """Tangents of the gradients in planes, scale and shift, of that in the pooled images [n, h, w, C]."""
    gain, gain_tangent = block.gain, along.gain(block)
    spread = (_spread(one, block.planes) for one in (gradients.above, above))
    given = (*spread, block.planes, along.planes, block.mean, gain, block.shift, along.mean)
    total, slope = means.loops.slopes_tangent(*given)
    slope = slope - along.drift * gradients.slope
    share, pixels = block.rstd.square() / _pixels(block), _pixels(block)
    constant = (gain * total + gain_tangent * gradients.total) / pixels
    inner = share * gradients.slope
    inner_tangent = share * (slope - along.drift * gradients.slope)
    found = means.loops.planes_gradient_tangent(
        *given, gain_tangent, constant, gain * inner, gain * inner_tangent + gain_tangent * inner, means.arithmetic
    )
    return found, (slope * block.rstd).sum(_ALL), total.sum(_ALL)


def whole(cells: Tensor) -> Tensor:
    """Planes [n, h, w, C] of split ones."""
    count, height, rows, width, columns, channels = cells.shape
    return cells.reshape(count, height * rows, width * columns, channels)


_ALL = (0, 1, 2, 3, 4)


def _pixels(block: Block) -> int:
    return block.planes[0, ..., 0].numel()


def _split(planes: Tensor) -> Tensor:
    """Planes [n, h, 2, w, 2, C]; [n, h, 1, w, 1, C] where a side is odd."""
    count, height, width, channels = planes.shape
    if height % 2 or width % 2:
        return planes[:, :, None, :, None]
    return planes.view(count, height // 2, 2, width // 2, 2, channels)


def _pooled(result: Tensor, planes: Tensor) -> Tensor:
    """What `activate` gives of `planes`, pooled where a side is odd: it is not yet; a last row is in no pool."""
    images = whole(result)
    if images.shape[1:3] != planes.shape[1:3]:
        return images
    return F.avg_pool2d(images.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1).contiguous()


def _spread(above: Tensor, cells: Tensor) -> Tensor:
    """Gradient in pooled images as the loops take it: once for four pixels, or for each where a side is odd."""
    if cells.shape[2] == 2:
        return above[:, :, None, :, None]
    height, width = cells.shape[1], cells.shape[3]
    images = F.interpolate(above.permute(0, 3, 1, 2), scale_factor=2.0)
    return F.pad(images, (0, width % 2, 0, height % 2)).permute(0, 2, 3, 1).contiguous()[:, :, None, :, None]
