"""Losses and SGD number by number in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence


def log_softmax(logits: Sequence[float]) -> list[float]:
    """Logarithm of the softmax of one row."""
    highest = max(logits)
    total = math.log(sum(math.exp(value - highest) for value in logits))
    return [value - highest - total for value in logits]


def soft_cross_entropy(logits: Sequence[Sequence[float]], label_logits: Sequence[Sequence[float]]) -> float:
    """-(1/B) sum over b and c of softmax(label_logits) log_softmax(logits)."""
    total = 0.0
    for row, labels in zip(logits, label_logits, strict=True):
        for label, value in zip(log_softmax(labels), log_softmax(row), strict=True):
            total -= math.exp(label) * value
    return total / len(logits)


def weighted_cross_entropy(logits: Sequence[Sequence[float]], labels: Sequence[int], weights: Sequence[float]) -> float:
    """(1/B) sum over b of weight times -log_softmax(logits) at the label."""
    rows = zip(logits, labels, weights, strict=True)
    return sum(-weight * log_softmax(row)[label] for row, label, weight in rows) / len(logits)


def sgd(
    weights: Sequence[float],
    velocity: Sequence[float],
    gradient: Sequence[float],
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> tuple[list[float], list[float]]:
    """One step of SGD with momentum and (coupled) weight decay: new weights and velocity."""
    new_weights, new_velocity = [], []
    for weight, speed, slope in zip(weights, velocity, gradient, strict=True):
        speed = momentum * speed + slope + weight_decay * weight
        new_velocity.append(speed)
        new_weights.append(weight - learning_rate * speed)
    return new_weights, new_velocity
