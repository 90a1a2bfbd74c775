"""What the teachers' weights say together, sample by sample: Eq. 9, Eq. 11 and the reliable subset."""

from __future__ import annotations

from collections.abc import Sequence

from robustdd.rng import seed_of


def mean(weights: Sequence[Sequence[float]]) -> list[float]:
    """Eq. 9: mean over the teachers."""
    return [sum(column) / len(weights) for column in zip(*weights, strict=True)]


def variance(weights: Sequence[Sequence[float]]) -> list[float]:
    """Eq. 11: mean squared distance to that mean."""
    columns = zip(zip(*weights, strict=True), mean(weights), strict=True)
    return [sum((value - middle) ** 2 for value in column) / len(weights) for column, middle in columns]


def subset(static: Sequence[float], spread: Sequence[float], ids: Sequence[str], size: int, seed: int) -> set[str]:
    """Ids of the `size` samples with the smallest worse rank, then better rank, then hash."""

    def place(row: int) -> tuple[int, int, int]:
        by_static = sum(other > static[row] for other in static)
        by_spread = sum(other < spread[row] for other in spread)
        return max(by_static, by_spread), min(by_static, by_spread), seed_of("subset", seed, ids[row])

    return {ids[row] for row in sorted(range(len(ids)), key=place)[:size]}
