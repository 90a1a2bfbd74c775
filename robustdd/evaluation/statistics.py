"""How certain a number is: the unit is the distillation seed, its evaluation networks are averaged first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robustdd.errors import UserError


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (n - 1 in the denominator; None for one value) of `count` values."""

    mean: float
    sd: float | None
    count: int


@dataclass(frozen=True)
class SeedSummary:
    """A mean over distillation seeds, and what its standard deviation is taken over.

    `over` is "distillation seeds" when there are two or more; else "evaluation nets", which says nothing about
    distilling again. `nets` counts the evaluation networks of all seeds.
    """

    mean: float
    sd: float | None
    over: str
    seeds: int
    nets: int


@dataclass(frozen=True)
class PairedDifference:
    """Mean of seed-by-seed differences, with Student's t interval; the interval is None for fewer than two pairs."""

    mean: float
    pairs: int
    degrees: int
    interval: tuple[float, float] | None

    @property
    def shown(self) -> bool:
        """Whether the difference is shown: there is an interval, and it does not contain 0."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def summarise(values: Sequence[float]) -> Summary:
    """Mean and sample standard deviation of `values`. UserError when there are none."""
    if not values:
        raise UserError("no value to average: expected at least one accuracy")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Summary(mean, None, 1)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return Summary(mean, math.sqrt(squares / (len(values) - 1)), len(values))


def summarise_seeds(nets: Mapping[int, Sequence[float]]) -> SeedSummary:
    """Average each distillation seed's evaluation networks first, then the seeds.

    `nets` maps a distillation seed to the accuracies of its evaluation networks. UserError when a seed has none.
    """
    seeds = {seed: summarise(values) for seed, values in nets.items()}
    total = sum(one.count for one in seeds.values())
    if len(seeds) == 1:
        (only,) = seeds.values()
        return SeedSummary(only.mean, only.sd, "evaluation nets", 1, total)
    over = summarise([one.mean for one in seeds.values()])
    return SeedSummary(over.mean, over.sd, "distillation seeds", over.count, total)


def paired_difference(
    ours: Mapping[int, Sequence[float]], theirs: Mapping[int, Sequence[float]], confidence: float = 0.95
) -> PairedDifference:
    """Paired t-interval of `ours - theirs` over their common distillation seeds, evaluation networks averaged first.

    Degrees of freedom are pairs - 1. Equal differences give an interval of length 0. UserError when no seed is common.
    """
    from scipy import stats

    common = sorted(ours.keys() & theirs.keys())
    if not common:
        raise UserError(f"no common distillation seed to pair: {sorted(ours)} against {sorted(theirs)}")
    summary = summarise([summarise(ours[seed]).mean - summarise(theirs[seed]).mean for seed in common])
    if summary.sd is None:
        return PairedDifference(summary.mean, 1, 0, None)
    degrees = summary.count - 1
    reach = float(stats.t.ppf((1 + confidence) / 2, degrees)) * summary.sd / math.sqrt(summary.count)
    return PairedDifference(summary.mean, summary.count, degrees, (summary.mean - reach, summary.mean + reach))


def sampling_reach(accuracy: float, test_images: int, confidence: float = 0.95) -> float:
    """Half-width of Wilson's interval of one accuracy from the finite test set alone, as a share.

    It is the same for every network scored on these images, and no number of seeds makes it smaller. UserError when
    there is no test image. Source: Wilson 1927.
    """
    from scipy import stats

    if test_images < 1:
        raise UserError(f"{test_images} test images: expected at least one")
    z = float(stats.norm.ppf((1 + confidence) / 2))
    spread = accuracy * (1 - accuracy) / test_images + (z / (2 * test_images)) ** 2
    return z * math.sqrt(spread) / (1 + z * z / test_images)
