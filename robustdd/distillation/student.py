"""The student's training on the synthetic set, with the derivatives that going back through it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd import grad

from robustdd.distillation.matching import student_step
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.engine.second_order import Sweep
from robustdd.networks.training import Network, soft_cross_entropy


@dataclass(frozen=True, eq=False)
class StudentBatch:
    """One step's share of the synthetic set: which images, and an augmentation drawn before, to be replayed."""

    indices: Tensor
    augmentation: Callable[[Tensor], Tensor]

    def inputs(self, synthetic: SyntheticSet) -> tuple[Tensor, Tensor]:
        """Augmented images and label logits of the batch."""
        return self.augmentation(synthetic.images[self.indices]), synthetic.label_logits[self.indices]


class Walk(NamedTuple):
    """Every point [P] of a student's way, the start first; and for every step what its student kept."""

    path: list[Tensor]
    kept: list[Any]


class Student(Protocol):
    """Derivatives of the soft cross-entropy of one batch: parameters [P], images [b, ...], label logits [b, C]."""

    def gradient(self, parameters: Tensor, images: Tensor, label_logits: Tensor) -> tuple[Tensor, Any]:
        """Gradient [P] in the parameters; and what `sweep` at the same place may be given, or None."""

    def sweep(
        self, parameters: Tensor, images: Tensor, label_logits: Tensor, direction: Tensor, kept: Any = None
    ) -> Sweep:
        """What the gradient's product with a direction [P] depends on."""


@dataclass(frozen=True)
class AutogradStudent:
    """A student of any network, differentiated twice by autograd (reverse over reverse)."""

    network: Network

    def gradient(self, parameters: Tensor, images: Tensor, label_logits: Tensor) -> tuple[Tensor, None]:
        """Gradient [P] in the parameters."""
        parameters = parameters.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = grad(soft_cross_entropy(self.network(parameters, images), label_logits), parameters)
        return gradient, None

    def sweep(
        self, parameters: Tensor, images: Tensor, label_logits: Tensor, direction: Tensor, kept: None = None
    ) -> Sweep:
        """What the gradient's product with a direction [P] depends on."""
        leaves = [value.detach().requires_grad_() for value in (images, label_logits, parameters)]
        with torch.enable_grad():
            loss = soft_cross_entropy(self.network(leaves[2], leaves[0]), leaves[1])
            (gradient,) = grad(loss, leaves[2], create_graph=True)
            slope = gradient @ direction
        return Sweep(slope.detach(), *grad(slope, leaves))


@torch.no_grad()
def walk(student: Student, synthetic: SyntheticSet, batches: Sequence[StudentBatch], start: Tensor) -> Walk:
    """The student's way from `start` [P]: one step a batch; nothing else is kept but what the student keeps."""
    way = Walk([start], [])
    for batch in batches:
        gradient, kept = student.gradient(way.path[-1], *batch.inputs(synthetic))
        way.path.append(student_step(way.path[-1], gradient, synthetic.learning_rate))
        way.kept.append(kept)
    return way
