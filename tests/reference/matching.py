"""Equations 2, 3, 12 and 13 as the paper writes them; and TESLA's gradient, by stopping the gradient explicitly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def distance(student: Sequence[float], target: Sequence[float], start: Sequence[float]) -> float:
    numerator = denominator = 0.0
    for end, goal, begin in zip(student, target, start, strict=True):
        numerator += (end - goal) ** 2
        denominator += (begin - goal) ** 2
    return numerator / denominator


def total(match: float, aux: float, beta: float) -> float:
    return (1 - beta) * match + beta * aux


def soft_loss(logits: Tensor, label_logits: Tensor) -> Tensor:
    loss = torch.zeros((), dtype=logits.dtype)
    for row, label in zip(logits, label_logits, strict=True):
        probability = label.exp() / label.exp().sum()
        for value, share in zip(row, probability, strict=True):
            loss = loss - share * (value - row.exp().sum().log())
    return loss / len(logits)


def matching_loss(
    network: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    rate: Tensor,
    batches: Sequence[tuple[Tensor, Callable[[Tensor], Tensor]]],
    start: Tensor,
    targets: Sequence[tuple[float, Tensor]],
    stop_gradient: bool = False,
) -> Tensor:
    """Loss of Eq. 13 of a student trained from `start`; `targets` are (share, target).

    With `stop_gradient` the student's points are constants inside their gradients, as in TESLA.
    """
    student = start.clone().requires_grad_()
    for indices, augmentation in batches:
        at = student.detach().requires_grad_() if stop_gradient else student
        loss = soft_loss(network(at, augmentation(images[indices])), labels[indices])
        student = student - rate * torch.autograd.grad(loss, at, create_graph=True)[0]
    return sum(
        (share * ((student - target) ** 2).sum() / ((start - target) ** 2).sum() for share, target in targets),
        start=torch.zeros((), dtype=start.dtype),
    )
