"""Gradients of the synthetic set by the whole unrolled graph, as MTT and DATM do: memory grows with the steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.autograd import grad

from robustdd.distillation.matching import Goal, Losses, student_step
from robustdd.distillation.student import StudentBatch
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.networks.training import Network, soft_cross_entropy


def unrolled_gradients(
    network: Network, synthetic: SyntheticSet, batches: Sequence[StudentBatch], goal: Goal
) -> tuple[SyntheticSet, Losses]:
    """Exact gradients of the loss of Eq. 13 in images, label logits and rate, by every step's graph; and the losses.

    Source: Cazenavette et al. 2022 (MTT).
    """
    leaves = [value.detach().requires_grad_() for value in synthetic.tensors().values()]
    parameters = goal.start.detach().requires_grad_()
    with torch.enable_grad():
        leaf = SyntheticSet(*leaves)
        for batch in batches:
            images, label_logits = batch.inputs(leaf)
            loss = soft_cross_entropy(network(parameters, images), label_logits)
            (gradient,) = grad(loss, parameters, create_graph=True)
            parameters = student_step(parameters, gradient, leaf.learning_rate)
        losses = goal.losses(parameters)
    gradients = SyntheticSet(*grad(losses.total, leaves))
    aux = None if losses.aux is None else losses.aux.detach()
    return gradients, Losses(losses.total.detach(), losses.match.detach(), aux)
