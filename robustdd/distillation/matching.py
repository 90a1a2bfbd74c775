"""Matching a student to a teacher's trajectory: the student's step and the distances that its end is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.errors import Diverged


def student_step(parameters: Tensor, gradient: Tensor, rate: Tensor) -> Tensor:
    """Parameters [P] of the student after one plain gradient step on a batch of the synthetic set: Eq. 2.

    `gradient` [P] is that of the soft cross-entropy, averaged over the batch; `rate` is the learned scalar, alpha of
    the paper. Differentiable in all three.
    """
    return torch.addcmul(parameters, gradient, rate, value=-1)


def normalised_distance(student: Tensor, target: Tensor, start: Tensor) -> Tensor:
    """Squared distance from student to target, over the target's own squared way from the start: Eq. 3. Eq. 10. Eq. 12.

    All three are parameter vectors [P]; Eq. 12 is this with the clean target. A scalar, differentiable in `student`.
    Raises Diverged when the target is the start: the quotient is then 0/0.

    Reading: Eq. 10 and Eq. 12 average over one student for each synthetic sample, which contradicts Eq. 3 and would
    cost an unrolled training a sample. The student is the ordinary one, trained on the whole set: Eq. 10 is then Eq. 3
    again.
    """
    way = (target - start).square().sum()
    if way == 0:
        raise Diverged(
            "the target is equal to the start and Eq. 3 divides by 0: expected a teacher that moves, check its training"
        )
    return (student - target).square().sum() / way


def combined_loss(match_loss: Tensor, aux_loss: Tensor, aux_share: float) -> Tensor:
    """Convex combination of the distances to the teacher's target and to the clean target: Eq. 13.

    `aux_share` is beta of the paper, 0 to 1.

    Reading: section 4.1 of the paper places the auxiliary targets in the inner loop; Eq. 13 in the outer loss, as here.
    """
    return (1 - aux_share) * match_loss + aux_share * aux_loss


@dataclass(frozen=True, eq=False)
class Losses:
    """Scalars of Eq. 13; `aux` is None where no clean target takes part."""

    total: Tensor
    match: Tensor
    aux: Tensor | None


@dataclass(frozen=True, eq=False)
class Goal:
    """Where a student that leaves `start` should arrive: all parameter vectors [P].

    With `aux_share` 0 a clean target takes no part at all: the bits are those of Eq. 3 alone.
    """

    start: Tensor
    target: Tensor
    clean_target: Tensor | None = None
    aux_share: float = 0.0

    def losses(self, student: Tensor) -> Losses:
        """Losses of a student that ended at `student` [P], differentiable in it; raises as `normalised_distance`."""
        match = normalised_distance(student, self.target, self.start)
        if self.clean_target is None or self.aux_share == 0:
            return Losses(match, match, None)
        aux = normalised_distance(student, self.clean_target, self.start)
        return Losses(combined_loss(match, aux, self.aux_share), match, aux)
