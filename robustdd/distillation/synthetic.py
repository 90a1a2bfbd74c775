"""The thing that is distilled: a few images with soft labels, and the learning rate to train on them with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.errors import UserError


@dataclass(frozen=True, eq=False)
class SyntheticSet:
    """n images with the label and the rate that belong to them; all of one floating type, on one device.

    `images` [n, channels, height, width] in whitened space; `label_logits` [n, C], whose softmax is the label;
    `learning_rate` a scalar, of plain gradient descent. Raises UserError when the shapes do not fit.
    """

    images: Tensor
    label_logits: Tensor
    learning_rate: Tensor

    def __post_init__(self) -> None:
        shapes = [tuple(value.shape) for value in self.tensors().values()]
        if [len(shape) for shape in shapes] != [4, 2, 0] or shapes[0][0] != shapes[1][0]:
            raise UserError(
                f"synthetic set: expected images [n, c, h, w], label logits [n, C] and one rate, found shapes {shapes}"
            )

    def tensors(self) -> dict[str, Tensor]:
        """The three tensors by name, as they are written."""
        return {"images": self.images, "label_logits": self.label_logits, "learning_rate": self.learning_rate}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> SyntheticSet:
        """The set out of its three tensors; other names are ignored; raises UserError when one is missing."""
        names = ("images", "label_logits", "learning_rate")
        if missing := [name for name in names if name not in tensors]:
            raise UserError(f"synthetic set: tensor {missing[0]!r} is missing, expected {', '.join(names)}")
        return cls(*(tensors[name] for name in names))

    def clone(self) -> SyntheticSet:
        """The same values in memory of their own."""
        return SyntheticSet(*(value.clone() for value in self.tensors().values()))

    def zeros(self) -> SyntheticSet:
        """Zeros of the same shapes: a momentum or a gradient before its first term."""
        return SyntheticSet(*(torch.zeros_like(value) for value in self.tensors().values()))
