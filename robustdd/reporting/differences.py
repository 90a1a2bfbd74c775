"""The differences that the paper is about, and what may be said of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from robustdd.evaluation.statistics import PairedDifference, paired_difference, sampling_reach, summarise_seeds
from robustdd.reporting.grouping import Setting, settings
from robustdd.reporting.records import RowAccuracy


@dataclass(frozen=True)
class Comparison:
    """A paired difference of two settings of one cell and size; `reach`, a share, is the test set's own uncertainty."""

    cell: str
    ipc: int
    first: str
    second: str
    difference: PairedDifference
    reach: float

    @property
    def sentence(self) -> str:
        """The difference in one line, in percentage points."""
        first, second = (label.removeprefix(f"{self.cell}-") for label in (self.first, self.second))
        told = f"{first} against {second}: {100 * self.difference.mean:+.1f} points"
        if self.difference.interval is not None:
            low, high = (100 * end for end in self.difference.interval)
            told += f", 95 % {low:+.1f} to {high:+.1f}, df {self.difference.degrees}"
        return f"{told}; {self.verdict}"

    @property
    def verdict(self) -> str:
        """What may be said of the difference, in a few words."""
        if self.difference.interval is None:
            return "not shown: one seed"
        if not self.difference.shown:
            return "not shown: contains 0"
        return "shown" if abs(self.difference.mean) >= self.reach else "not shown: below test-set error"


def comparisons(rows: Iterable[RowAccuracy]) -> list[Comparison]:
    """`sgr` and `ours` against `datm`, `ours` against `sgr`, and each matched set against what it started from.

    Both sides share the cell and IPC; the recipe too, except with `selected`, which has no distillation; the view too
    where both methods read the same teachers. `sgr` on other weights (oracle, literal, one of the two scores alone) is
    compared with `sgr` on the view CELL-sgr, and that on CELL-knn with that on CELL-ssft. Two recipes of one method on
    one view are compared, the name that comes later in the alphabet against the earlier. Settings without a common
    distillation seed are not compared.
    """
    all_settings = settings(rows)
    pairs = [(ours, theirs) for ours in all_settings for theirs in all_settings if _is_pair(ours, theirs)]
    found = [_compare(*pair) for pair in pairs]
    return sorted(found, key=lambda one: (one.cell, one.ipc, one.first, one.second))


def _is_pair(ours: Setting, theirs: Setting) -> bool:
    first, second = ours.first, theirs.first
    if (first.cell, first.ipc) != (second.cell, second.ipc) or not ours.nets().keys() & theirs.nets().keys():
        return False
    if (first.method, first.view) == (second.method, second.view):
        return first.recipe > second.recipe
    match (first.method, second.method):
        case ("sgr" | "ours", "datm"):
            return first.recipe == second.recipe
        case ("ours", "sgr"):
            return (first.recipe, first.view) == (second.recipe, second.view)
        case ("sgr", "sgr"):
            scores = (first.view, second.view) == (f"{first.cell}-knn", f"{first.cell}-ssft")
            return first.recipe == second.recipe and (scores or first.view != second.view == f"{second.cell}-sgr")
        case ("datm" | "sgr" | "ours", "selected"):
            return first.view == second.view
    return False


def _compare(ours: Setting, theirs: Setting) -> Comparison:
    first, nets = ours.first, ours.nets()
    difference = paired_difference(nets, theirs.nets())
    reach = sampling_reach(summarise_seeds(nets).mean, first.test_images)
    return Comparison(first.cell, first.ipc, ours.label, theirs.label, difference, reach)
