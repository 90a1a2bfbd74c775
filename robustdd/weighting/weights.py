"""Selective Guidance Reweighting: how much each sample counts in a teacher's training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robustdd.errors import UserError


def jensen_shannon_to_one_hot(probability: Tensor) -> Tensor:
    """Jensen-Shannon divergence, base 2, in [0, 1], of a distribution to a one-hot label.

    Only the `probability` [...] that the distribution gives the label enters: JS = 1 - (1+q)/2 log2(1+q) + q/2 log2 q.
    """
    mixed, own = torch.xlogy(1 + probability, 1 + probability), torch.xlogy(probability, probability)
    return (1 + (own - mixed) / (2 * math.log(2))).clamp(0, 1)


def dynamic_weight(probabilities: Tensor, neighbours: Tensor, observed: Tensor) -> Tensor:
    """Agreement [n], 0 to 1, of every observed label with what is predicted for the sample's nearest neighbours, Eq. 4.

    `probabilities` [n, C] (softmax of the logits), `neighbours` int64 [n, k], `observed` int64 [n].

    Reading: the paper leaves the label distribution undefined; it is the observed label, exactly one-hot. The
    neighbours' distributions are the current teacher's softmax at temperature 1; the logarithm has base 2, so that the
    weight reaches from 0 to 1.
    """
    predicted = probabilities[neighbours, observed[:, None]]
    return 1 - jensen_shannon_to_one_hot(predicted).mean(1)


def blended_weight(static: Tensor, dynamic: Tensor, blend: float) -> Tensor:
    """Convex combination [n] of static and dynamic weights [n] with the share `blend` of the dynamic ones, Eq. 7."""
    return (1 - blend) * static + blend * dynamic


def blend(epoch: int, warmup_epochs: float, maximum: float) -> float:
    """Share of the dynamic weight in `epoch`, linear from 0 to `maximum` over the warm-up, Eq. 8.

    Reading: epochs count from 0, so that the first one uses static weights alone; without warm-up it is `maximum` at
    once.
    """
    if epoch >= warmup_epochs:
        return maximum
    return epoch / warmup_epochs * maximum


def blend_maxima(num_teachers: int, ladder: str) -> tuple[float, ...]:
    """Blend maximum of every teacher p = 1..P: (p-1)/P for `paper`, (p-1)/(P-1) for `inclusive`; 0 for a lone teacher.

    Reading: Sec. 4.2 calls the maxima uniform in [0, 1] and writes (p-1)/P, which never reaches 1; the formula stands.
    Raises UserError for another ladder.
    """
    if ladder not in ("paper", "inclusive"):
        raise UserError(f"ladder: expected paper or inclusive, got {ladder!r}")
    steps = num_teachers if ladder == "paper" else max(num_teachers - 1, 1)
    return tuple(index / steps for index in range(num_teachers))


def mean_one(weights: Tensor) -> Tensor:
    """Weights [n] over their mean, so that reweighting keeps the learning rate; raises UserError when the mean is 0."""
    mean = weights.mean()
    if not bool(mean > 0):
        raise UserError(f"weights: expected a positive mean, got {float(mean)}; no sample would teach anything")
    return weights / mean
