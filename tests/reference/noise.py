"""Label noise, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def symmetric(rate: float, classes: int) -> list[list[float]]:
    """P(observed | clean) of Sec. 5.1: rate / (C - 1) for every other class."""
    return [
        [1 - rate if observed == clean else rate / (classes - 1) for observed in range(classes)]
        for clean in range(classes)
    ]


def inverse_cdf(row: Sequence[float], uniform: float) -> int:
    """First class at which the cumulative probability passes `uniform`."""
    reached = 0.0
    for label, share in enumerate(row):
        reached += share
        if uniform < reached:
            return label
    return max(label for label, share in enumerate(row) if share > 0)


def counts(clean: Sequence[int], observed: Sequence[int], classes: int) -> list[list[int]]:
    """How often each clean label is observed as each label."""
    table = [[0] * classes for _ in range(classes)]
    for before, after in zip(clean, observed, strict=True):
        table[before][after] += 1
    return table


def legacy(clean: Sequence[int], matrix: Sequence[Sequence[float]]) -> list[int]:
    """DD_LNL's stream: a multinomial of one trial is a chain of binomials, one a possible class, until one succeeds."""
    stream = np.random.RandomState(0)
    observed = []
    for label in clean:
        left, drawn = 1.0, len(matrix) - 1
        for candidate, share in enumerate(matrix[label][:-1]):
            if share and stream.binomial(1, min(1.0, share / left)):
                drawn = candidate
                break
            left -= share
        observed.append(drawn)
    return observed
