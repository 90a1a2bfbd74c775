"""Differences over draws of the noise: does a gain hold where the labels, and all that is trained on them, change?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.evidence_spread import drawn_alike
from benchmarks.markdown import table
from benchmarks.paired import HEADER, cells
from robustdd.evaluation.statistics import PairedDifference, paired_difference
from robustdd.params import Study
from robustdd.reporting.differences import Comparison, comparisons
from robustdd.reporting.records import RowAccuracy
from robustdd.reporting.tabular import points

Found = dict[str, Any]


def over_draws(study: Study, rows: Iterable[RowAccuracy]) -> Iterator[Found]:
    """Every difference that two or more draws of one noise have, a draw being a cell that differs in the seed alone.

    A draw's value, a share, is the mean over the distillation seeds that both sides have there; the interval is
    Student's over draws. `reach`: the largest of the draws.
    """
    groups: dict[tuple[str, ...], dict[int, Comparison]] = {}
    for one in comparisons(rows):
        sides = (_side(one.first, one.cell), _side(one.second, one.cell))
        draw = study.cells[one.cell].noise.seed
        groups.setdefault((drawn_alike(study, one.cell), *sides), {})[draw] = one
    for (_, first, second), found in groups.items():
        if len(found) > 1:
            values = {seed: one.difference.mean for seed, one in sorted(found.items())}
            whole = paired_difference({seed: [one] for seed, one in values.items()}, {seed: [0.0] for seed in values})
            yield {
                "first": first,
                "second": second,
                "draws": values,
                "mean": whole.mean,
                "degrees": whole.degrees,
                "interval": whole.interval,
                "reach": max(one.reach for one in found.values()),
            }


def _side(label: str, cell: str) -> str:
    """A setting's name without its cell and its distillation seeds."""
    return label.removeprefix(f"{cell}-").rpartition("-s")[0]


def as_table(found: Iterable[Found]) -> str:
    """All of them in percentage points, with every draw's own, in the order of their seeds."""
    rows = []
    for one in found:
        draws = one["draws"]
        difference = PairedDifference(one["mean"], len(draws), one["degrees"], tuple(one["interval"]))
        each = ", ".join(points(value) for value in draws.values())
        rows.append([one["first"], one["second"], str(len(draws)), *cells(difference, one["reach"]), each])
    return table(["", "against", "draws", *HEADER, "of each draw"], rows, words=2)
