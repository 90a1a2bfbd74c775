"""A student that is a ConvNet, differentiated by hand: a few plain tensor operations instead of a graph of a graph.

The gradient's product with a direction is the tangent of the loss along it. One sweep forward carries values and
tangents side by side, one sweep back the gradient and its tangent; the latter is what is asked for. A convolution's
bias has no effect before a norm: it is left out, and its gradient is exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.engine import eager_block as block
from robustdd.engine import head
from robustdd.engine import microbatches as chunks
from robustdd.engine.eager_conv import image_tangent, prepare, turned
from robustdd.engine.second_order import Sweep
from robustdd.networks.convnet import ConvNet


@dataclass(frozen=True)
class ConvNetStudent:
    """Derivatives of the soft cross-entropy of a ConvNet on one batch: those of `AutogradStudent`, by hand.

    Results are inference tensors: autograd may not record them, which saves a fifth of the time of a small set.
    """

    network: ConvNet
    chunk: int = 0

    @torch.inference_mode()
    def gradient(self, parameters: Tensor, images: Tensor, label_logits: Tensor) -> tuple[Tensor, None]:
        """Gradient [P] in the parameters."""
        pieces = self.network.unflatten(parameters)
        parts = chunks.split(self.network, images, label_logits, self.chunk)
        return chunks.summed([_gradient(self.network, pieces, *part) for part in parts], parts), None

    @torch.inference_mode()
    def sweep(
        self, parameters: Tensor, images: Tensor, label_logits: Tensor, direction: Tensor, kept: None = None
    ) -> Sweep:
        """What the gradient's product with a direction [P] depends on."""
        duals = torch.split(torch.stack((parameters, direction)), list(self.network.sizes), 1)
        shapes = ((shape if len(shape) > 1 else (1, 1, *shape)) for shape in self.network.shapes)
        pieces = [dual.view(2, *shape) for dual, shape in zip(duals, shapes, strict=True)]
        parts = chunks.split(self.network, images, label_logits, self.chunk)
        return chunks.joined([_sweep(self.network, pieces, *part) for part in parts], parts)


def _gradient(network: ConvNet, pieces: list[Tensor], images: Tensor, label_logits: Tensor) -> Tensor:
    kept = []
    hidden = images.permute(0, 2, 3, 1)
    for layer in range(network.depth):
        kernel, _, scale, shift = pieces[4 * layer : 4 * layer + 4]
        windows, size = prepare(hidden), (hidden.shape[1], hidden.shape[2])
        hidden, memory = block.forward(windows.convolve(kernel).flatten(1, 2), scale, shift, size)
        kept.append((windows, memory))
    features = hidden.permute(0, 3, 1, 2)
    above, weight, bias = head.gradients(features.flatten(1), label_logits, *pieces[-2:])
    above = above.view(features.shape).permute(0, 2, 3, 1).contiguous()
    found, zero = [bias, weight], above.new_zeros(network.width)
    for layer in reversed(range(network.depth)):
        windows, memory = kept.pop()
        planes, scale, shift = block.backward(above, memory)
        planes = planes.view(len(images), *memory.size, network.width)
        found += [shift, scale, zero, windows.kernel_gradient(planes)]
        if layer:
            above = prepare(planes).convolve(turned(pieces[4 * layer]))
    return _flat(found)


def _sweep(network: ConvNet, pieces: list[Tensor], images: Tensor, label_logits: Tensor) -> Sweep:
    kept = []
    hidden = images.permute(0, 2, 3, 1)
    for layer in range(network.depth):
        kernels, _, scale, shift = pieces[4 * layer : 4 * layer + 4]
        windows, size = prepare(hidden), (hidden.shape[1], hidden.shape[2])
        planes = windows.convolve_dual(kernels) if layer else windows.convolve_both(kernels)
        planes = planes.view(2, len(images), -1, network.width)
        hidden, memory = block.forward_dual(planes, scale, shift, size)
        kept.append((windows, memory))
    features = hidden.permute(0, 3, 1, 2)
    top = head.tangents(features.flatten(1), label_logits, *pieces[-2:])
    above = top.features.view(features.shape).permute(0, 2, 3, 1).contiguous()
    found, zero = [top.bias, top.weight], above.new_zeros(network.width)
    for layer in reversed(range(network.depth)):
        windows, memory = kept.pop()
        planes, scale, shift = block.backward_dual(above, memory)
        planes = planes.view(2 * len(images), *memory.size, network.width)
        kernel = windows.kernel_tangent(planes) if layer else windows.kernel_gradient(planes[len(images) :])
        found += [shift, scale, zero, kernel]
        if layer:
            above = prepare(planes).convolve_dual(turned(pieces[4 * layer]))
    return Sweep(top.slope, image_tangent(planes, pieces[0]), top.label_logits, _flat(found))


def _flat(reversed_pieces: list[Tensor]) -> Tensor:
    return torch.cat([piece.flatten() for piece in reversed(reversed_pieces)])
