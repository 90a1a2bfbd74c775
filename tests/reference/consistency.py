"""Nearest neighbours, Jensen-Shannon divergence and the weights of SGR, pair by pair in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence


def nearest(features: Sequence[Sequence[float]], k: int) -> list[list[int]]:
    """The k rows of the highest cosine to each row, itself excluded, nearest first."""
    found = []
    for i, row in enumerate(features):
        others = [(_cosine(row, other), j) for j, other in enumerate(features) if j != i]
        found.append([j for _, j in sorted(others, key=lambda pair: -pair[0])[:k]])
    return found


def _cosine(left: Sequence[float], right: Sequence[float]) -> float:
    product = math.sqrt(sum(value * value for value in left)) * math.sqrt(sum(value * value for value in right))
    return sum(a * b for a, b in zip(left, right, strict=True)) / product if product else 0.0


def jensen_shannon(left: Sequence[float], right: Sequence[float]) -> float:
    """(KL(left, middle) + KL(right, middle)) / 2 in base 2."""
    middle = [(a + b) / 2 for a, b in zip(left, right, strict=True)]
    return (_divergence(left, middle) + _divergence(right, middle)) / 2


def _divergence(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * math.log2(a / b) for a, b in zip(left, right, strict=True) if a > 0)


def dynamic_weight(
    probabilities: Sequence[Sequence[float]], neighbours: Sequence[Sequence[int]], observed: Sequence[int]
) -> list[float]:
    """Eq. 4 with a one-hot observed label."""
    weights = []
    for near, label in zip(neighbours, observed, strict=True):
        one_hot = [float(index == label) for index in range(len(probabilities[0]))]
        weights.append(1 - sum(jensen_shannon(one_hot, probabilities[j]) for j in near) / len(near))
    return weights


def blend(epoch: int, warmup_epochs: float, maximum: float) -> float:
    """Eq. 8."""
    return min(epoch / warmup_epochs * maximum, maximum)


def blended_weight(static: Sequence[float], dynamic: Sequence[float], share: float) -> list[float]:
    """Eq. 7."""
    return [(1 - share) * a + share * b for a, b in zip(static, dynamic, strict=True)]
