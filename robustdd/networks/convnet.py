"""The ConvNet of the dataset-distillation literature, as a pure function of one flat parameter vector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from robustdd.errors import UserError


@dataclass(frozen=True)
class ConvNet:
    """`depth` blocks of 3x3 convolution, instance norm, ReLU and 2x2 average pooling, then one linear layer.

    The norm is a group norm with one channel a group (no running statistics: training and evaluation are one mode), as
    in MTT and DATM. Parameters lie in one vector in the order of those projects: for each block conv.weight, conv.bias,
    norm.weight, norm.bias; then classifier.weight, classifier.bias. Raises UserError when nothing is left of an image.

    Source: Gidaris & Komodakis 2018; default setting of MTT (Cazenavette et al. 2022).
    """

    channels: int
    image_size: tuple[int, int]
    classes: int
    width: int
    depth: int

    def __post_init__(self) -> None:
        height, width = self.image_size
        if min(height, width) >> self.depth == 0:
            most = min(height, width).bit_length() - 1
            raise UserError(
                f"network depth {self.depth} halves images of {height}x{width} away; expected at most {most}"
            )

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every parameter, in the order in which they lie in the flat vector."""
        shapes: list[tuple[int, ...]] = []
        for block in range(self.depth):
            incoming = self.channels if block == 0 else self.width
            shapes += [(self.width, incoming, 3, 3), (self.width,), (self.width,), (self.width,)]
        return (*shapes, (self.classes, self.num_features), (self.classes,))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of every parameter."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def num_parameters(self) -> int:
        """Length of the flat vector."""
        return sum(self.sizes)

    @property
    def num_features(self) -> int:
        """Length of the penultimate features: what is left of the image after `depth` halvings, times the width."""
        height, width = (size >> self.depth for size in self.image_size)
        return self.width * height * width

    def initial(self, generator: torch.Generator) -> Tensor:
        """Fresh parameters [P], float32, from PyTorch's default distributions.

        Weight and bias of a layer are uniform in +-1/sqrt(fan_in); a norm begins with scale 1 and shift 0.
        """
        pieces = []
        for shape in self.shapes[: 4 * self.depth : 4] + self.shapes[-2:-1]:
            fan_in = math.prod(shape[1:])
            bound = 1 / math.sqrt(fan_in)
            sizes = (math.prod(shape), shape[0])
            draw = [torch.empty(size).uniform_(-bound, bound, generator=generator) for size in sizes]
            norm = [torch.ones(shape[0]), torch.zeros(shape[0])] if len(shape) == 4 else []
            pieces += draw + norm
        return torch.cat(pieces)

    def unflatten(self, parameters: Tensor) -> list[Tensor]:
        """Views of the flat vector [P], one a parameter."""
        pieces = torch.split(parameters, list(self.sizes))
        return [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def features(self, parameters: Tensor, images: Tensor) -> Tensor:
        """Penultimate features [n, num_features] of images [n, channels, height, width]."""
        pieces = self.unflatten(parameters)
        hidden = images
        for block in range(self.depth):
            weight, bias, scale, shift = pieces[4 * block : 4 * block + 4]
            hidden = F.conv2d(hidden, weight, bias, padding=1)
            hidden = F.group_norm(hidden, self.width, scale, shift)
            hidden = F.avg_pool2d(F.relu(hidden), 2)
        return hidden.flatten(1)

    def classify(self, parameters: Tensor, features: Tensor) -> Tensor:
        """Logits [n, classes] of penultimate features [n, num_features]."""
        weight, bias = self.unflatten(parameters)[-2:]
        return F.linear(features, weight, bias)

    def __call__(self, parameters: Tensor, images: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, channels, height, width] under parameters [P]."""
        return self.classify(parameters, self.features(parameters, images))
