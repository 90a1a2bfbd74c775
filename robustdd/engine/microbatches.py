"""A batch in parts: what is summed over its images is summed over the parts, and memory follows the part."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustdd.engine.second_order import Sweep
from robustdd.networks.convnet import ConvNet

CHUNK_VALUES = {"cpu": 2**25, "cuda": 2**29}
"""Values of the first block's planes, with their tangents, that a part fills at most unless a size is given."""


def split(network: ConvNet, images: Tensor, label_logits: Tensor, chunk: int) -> list[tuple[Tensor, Tensor]]:
    """Parts of a batch of at most `chunk` images; 0: of as many as fill `CHUNK_VALUES`."""
    height, width = network.image_size
    values = CHUNK_VALUES.get(images.device.type, CHUNK_VALUES["cpu"])
    count = chunk or max(1, values // (2 * network.width * height * width))
    if len(images) <= count:
        return [(images, label_logits)]
    return list(zip(torch.split(images, count), torch.split(label_logits, count), strict=True))


def summed(gradients: Sequence[Tensor], parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Gradient of the mean over the batch, of those of the means over its parts."""
    if len(gradients) == 1:
        return gradients[0]
    return torch.stack([share * one for share, one in zip(_shares(parts), gradients, strict=True)]).sum(0)


def joined(sweeps: Sequence[Sweep], parts: Sequence[tuple[Tensor, Tensor]]) -> Sweep:
    """The sweep of the batch, of those of its parts."""
    if len(sweeps) == 1:
        return sweeps[0]
    scaled = [[share * value for value in sweep] for share, sweep in zip(_shares(parts), sweeps, strict=True)]
    slopes, pixels, labels, points = zip(*scaled, strict=True)
    return Sweep(torch.stack(slopes).sum(0), torch.cat(pixels), torch.cat(labels), torch.stack(points).sum(0))


def _shares(parts: Sequence[tuple[Tensor, Tensor]]) -> list[float]:
    total = sum(len(part) for part, _ in parts)
    return [len(part) / total for part, _ in parts]
