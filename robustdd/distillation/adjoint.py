"""Gradients of the synthetic set without the unrolled graph: the exact adjoint, and TESLA's approximation of it.

Let g_i be the gradient of step i and costate_N that of the loss in the student's end. Going backwards over i with
s_i = <g_i, costate_{i+1}> and costate_i = costate_{i+1} - rate * ds_i/dtheta_i, the exact gradients are
d loss/d images = -rate * sum ds_i/d images, the labels' likewise, and d loss/d rate = -sum s_i.
Memory: the N + 1 points of the student's way, what one step takes, and what the student keeps, if it keeps anything.
The clean target changes costate_N alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import grad

from robustdd.distillation.matching import Goal, Losses
from robustdd.distillation.student import Student, StudentBatch, walk
from robustdd.distillation.synthetic import SyntheticSet


def adjoint_gradients(
    student: Student, synthetic: SyntheticSet, batches: Sequence[StudentBatch], goal: Goal
) -> tuple[SyntheticSet, Losses]:
    """Exact gradients of the loss of Eq. 13 in images, label logits and rate, in constant memory; and the losses."""
    return _back(student, synthetic, batches, goal, through_steps=True)


def tesla_gradients(
    student: Student, synthetic: SyntheticSet, batches: Sequence[StudentBatch], goal: Goal
) -> tuple[SyntheticSet, Losses]:
    """TESLA's gradients: each point of the student's way is taken for a constant, so that steps forget earlier ones.

    They equal the exact ones for a single step only, and are here to reproduce work that used them.

    Source: Cui et al. 2023 (TESLA), Eq. 6 there, as the code of DATM corrects its factor.
    """
    return _back(student, synthetic, batches, goal, through_steps=False)


def _back(
    student: Student, synthetic: SyntheticSet, batches: Sequence[StudentBatch], goal: Goal, through_steps: bool
) -> tuple[SyntheticSet, Losses]:
    way = walk(student, synthetic, batches, goal.start)
    losses, costate = _arrive(goal, way.path.pop())
    rate = synthetic.learning_rate
    total = synthetic.zeros()
    slopes = total.learning_rate
    for batch in reversed(batches):
        images = synthetic.images[batch.indices].detach().requires_grad_()
        with torch.enable_grad():
            augmented = batch.augmentation(images)
        inputs = (augmented.detach(), synthetic.label_logits[batch.indices])
        sweep = student.sweep(way.path.pop(), *inputs, costate, way.kept.pop())
        (pixels,) = grad(augmented, images, sweep.images)
        total.images.index_add_(0, batch.indices, pixels)
        total.label_logits.index_add_(0, batch.indices, sweep.label_logits)
        slopes = slopes + sweep.slope
        if through_steps:
            costate = torch.addcmul(costate, sweep.parameters, rate, value=-1)
    return SyntheticSet(-rate * total.images, -rate * total.label_logits, -slopes), losses


def _arrive(goal: Goal, end: Tensor) -> tuple[Losses, Tensor]:
    """Losses of a student that ended at `end` [P], and their total's gradient there [P]."""
    end = end.detach().requires_grad_()
    with torch.enable_grad():
        losses = goal.losses(end)
    (costate,) = grad(losses.total, end)
    aux = None if losses.aux is None else losses.aux.detach()
    return Losses(losses.total.detach(), losses.match.detach(), aux), costate
