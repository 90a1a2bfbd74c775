"""The sweeps of `eager_student` for a compiler and for bfloat16: the gradient of a ConvNet, and its tangent.

The values on the way through the network can be kept, so that the tangent is taken along them without forming them
again: all blocks but the first, whose planes are the largest and whose convolution is the cheapest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from robustdd.engine import compiled_block as block
from robustdd.engine import head
from robustdd.engine.compiled_block import Block, BlockTangent, Gradients, Means
from robustdd.engine.conv import convolve, kernel_gradient, narrow, pixel_tangent
from robustdd.engine.eager_conv import turned
from robustdd.engine.second_order import Sweep
from robustdd.networks.convnet import ConvNet


class Layer(NamedTuple):
    """One block on the way: the narrow images that it convolves [n, h, w, c], its values and their gradients."""

    images: Tensor
    values: Block
    gradients: Gradients


class Kept(NamedTuple):
    """What a gradient leaves for the tangent at the same place: of the first block only the gradient above it."""

    features: Tensor
    above: Tensor
    layers: tuple[Layer, ...]


def loss_gradient(
    network: ConvNet, means: Means, parameters: Tensor, images: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Kept]:
    """Gradient [P] of the weighted cross-entropy, the loss itself, and what a tangent at this place can use.

    `images` [n, channels, h, w], `targets` [n, C] the distributions of the labels, `weights` [n].
    """
    pieces = network.unflatten(parameters)
    way, features, shape = _forward(network.depth, pieces, images, means)
    log_probability = torch.addmm(pieces[-1], features, pieces[-2].t()).log_softmax(1)
    error = (log_probability.exp() - targets) * (weights / len(images))[:, None]
    layers = _backward(pieces, way, _images(error @ pieces[-2], shape), means)
    found = []
    for layer in layers:
        scale, shift = layer.gradients.scale, layer.gradients.shift
        kernel = kernel_gradient(layer.images, block.whole(layer.gradients.planes), means.arithmetic, means.wide)
        found += [kernel, torch.zeros_like(scale), scale, shift]
    loss = -((targets * log_probability).sum(1) * weights).mean()
    kept = Kept(features, layers[0].gradients.above, tuple(layers[1:]))
    return _joined([*found, error.t() @ features, error.sum(0)]), loss, kept


def gradient_alone(
    network: ConvNet, means: Means, parameters: Tensor, images: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """`loss_gradient` for whoever takes no tangent there: what it would keep is given back at once."""
    gradient, loss, _ = loss_gradient(network, means, parameters, images, targets, weights)
    return gradient, loss


def tangent(
    network: ConvNet,
    means: Means,
    parameters: Tensor,
    images: Tensor,
    label_logits: Tensor,
    direction: Tensor,
    kept: Kept | None = None,
) -> Sweep:
    """What the product of the student's gradient with `direction` [P] depends on, see `second_order.Sweep`."""
    pieces, moved = network.unflatten(parameters), network.unflatten(direction)
    way, features, shape = _forward(1 if kept else network.depth, pieces, images, means)
    if kept is None:
        error = torch.addmm(pieces[-1], features, pieces[-2].t()).softmax(1) - label_logits.softmax(1)
        layers = _backward(pieces, way, _images((error / len(images)) @ pieces[-2], shape), means)
    else:
        features = kept.features
        layers = [*_backward(pieces, way, kept.above, means), *kept.layers]
    return _tangent(layers, pieces, moved, features, label_logits, means)


_Way = list[tuple[Tensor, Block]]
"""The images that every block convolves, narrow, and its values."""


def _forward(depth: int, pieces: Sequence[Tensor], images: Tensor, means: Means) -> tuple[_Way, Tensor, torch.Size]:
    """The way forward, the features [n, F], and the shape [n, h, w, C] of the images that they are."""
    hidden, way = narrow(images.permute(0, 2, 3, 1).contiguous(), means.arithmetic), []
    for index in range(depth):
        kernel, _, scale, shift = pieces[4 * index : 4 * index + 4]
        planes = convolve(hidden, narrow(kernel, means.arithmetic), means.arithmetic)
        pooled, values = block.forward(planes, scale, shift, means)
        way.append((hidden, values))
        hidden = pooled
    return way, _features(hidden, means), hidden.shape


def _backward(pieces: Sequence[Tensor], way: _Way, above: Tensor, means: Means) -> list[Layer]:
    layers = []
    for index in reversed(range(len(way))):
        images, values = way[index]
        gradients = block.backward(above, values, means)
        layers.append(Layer(images, values, gradients))
        if index:
            above = _below([gradients.planes], [pieces[4 * index]], means)
    return layers[::-1]


def _tangent(
    layers: Sequence[Layer],
    pieces: Sequence[Tensor],
    moved: Sequence[Tensor],
    features: Tensor,
    label_logits: Tensor,
    means: Means,
) -> Sweep:
    way, hidden = _forward_tangent(layers, pieces, moved, means)
    duals = torch.stack((pieces[-2], moved[-2])), torch.stack((pieces[-1], moved[-1]))[:, None, None]
    top = head.tangents(torch.cat((features, _features(hidden, means))), label_logits, *duals)
    above, found = _images(top.features[len(features) :], hidden.shape), [top.bias, top.weight]
    planes = above
    for index in reversed(range(len(layers))):
        (images, values, gradients), (operand, along) = layers[index], way[index]
        planes, scale, shift = block.backward_tangent(above, values, along, gradients, means)
        kernel = kernel_gradient(images, block.whole(planes), means.arithmetic, means.wide)
        if operand is not None:
            kernel += kernel_gradient(operand, block.whole(gradients.planes), means.arithmetic, means.wide)
            above = _below([planes, gradients.planes], [pieces[4 * index], moved[4 * index]], means)
        found += [shift, scale, torch.zeros_like(scale), kernel]
    kernel, kernel_tangent = (narrow(one[0], means.arithmetic) for one in (pieces, moved))
    planes_gradients = (block.whole(layers[0].gradients.planes), block.whole(planes))
    pixels = pixel_tangent(*planes_gradients, kernel, kernel_tangent, means.arithmetic, means.wide)
    return Sweep(top.slope, pixels, top.label_logits, _joined(found[::-1]))


def _forward_tangent(
    layers: Sequence[Layer], pieces: Sequence[Tensor], moved: Sequence[Tensor], means: Means
) -> tuple[list[tuple[Tensor | None, BlockTangent]], Tensor]:
    """For every block the tangent of the images that it convolves, and those of its values; and of the last images."""
    way: list[tuple[Tensor | None, BlockTangent]] = []
    operand: Tensor | None = None
    for index, layer in enumerate(layers):
        if operand is None:
            images, kernel = layer.images, moved[0]
        else:
            images = torch.cat((operand, layer.images), 3)
            kernel = torch.cat((pieces[4 * index], moved[4 * index]), 1)
        planes = convolve(images, narrow(kernel, means.arithmetic), means.arithmetic)
        pooled, along = block.forward_tangent(layer.values, planes, moved[4 * index + 2], moved[4 * index + 3], means)
        way.append((operand, along))
        operand = pooled
    assert operand is not None
    return way, operand


def _below(gradients: Sequence[Tensor], kernels: Sequence[Tensor], means: Means) -> Tensor:
    """Sum of the gradients, wide, that planes' gradients leave in what several kernels were applied to."""
    images = torch.cat([block.whole(one) for one in gradients], 3)
    kernel = narrow(turned(torch.cat(list(kernels))), means.arithmetic)
    return convolve(images, kernel, means.arithmetic).to(means.wide)


def _features(hidden: Tensor, means: Means) -> Tensor:
    """Features [n, F], wide, in the order of the classifier's weights."""
    return hidden.permute(0, 3, 1, 2).flatten(1).to(means.wide)


def _images(features: Tensor, shape: torch.Size) -> Tensor:
    """Images [n, h, w, C] of features [n, F]."""
    count, height, width, channels = shape
    return features.view(count, channels, height, width).permute(0, 2, 3, 1).contiguous()


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    return torch.cat([piece.flatten() for piece in pieces])
