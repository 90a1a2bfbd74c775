"""How far accuracies spread, and over what: evaluation nets, distillation seeds, or draws of the noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from robustdd.params import Study
from robustdd.reporting.records import RowAccuracy

Found = dict[str, Any]
Means = Mapping[tuple[str, int], float]
"""Mean accuracy of a set's networks, by cell and distillation seed."""


def spreads(study: Study, accuracies: Iterable[RowAccuracy]) -> list[Found]:
    """Every spread of every group of rows that has one; accuracies as shares, standard deviations with n - 1.

    A group is all rows of one method, weights, size and recipe on one dataset and noise, whatever the seeds. `nets`:
    of the networks of one set, pooled over the sets. `distillation seeds`: of the sets' means within one cell, pooled
    over cells; the labels and the teachers are the same. `noise draws`: of the means of sets with one distillation
    seed, pooled over seeds; labels differ, and with them all that is trained; initial networks and the order of the
    batches are the same. `draws and seeds`: of the means where every draw has a distillation seed of its own.
    """
    groups: dict[str, list[RowAccuracy]] = {}
    for row in accuracies:
        groups.setdefault(_group(study, row), []).append(row)
    return [one for rows in groups.values() for one in _spreads(rows[0], study.views[rows[0].view].weights, rows)]


def drawn_alike(study: Study, cell: str) -> str:
    """The dataset and noise of a cell but for the noise's seed: the same for all its draws."""
    told = study.cells[cell]
    return repr((told.dataset, replace(told.noise, seed=0)))


def _group(study: Study, row: RowAccuracy) -> str:
    weights = study.views[row.view].weights
    return repr((drawn_alike(study, row.cell), row.method, weights, row.ipc, row.recipe))


def _spreads(first: RowAccuracy, weights: str, rows: list[RowAccuracy]) -> Iterable[Found]:
    means = {(row.cell, row.seed): statistics.mean(row.accuracy) for row in rows}
    found = {
        "evaluation nets": [row.accuracy for row in rows],
        "distillation seeds": _by(means, 0),
        "noise draws": _by(means, 1),
        "draws and seeds": [list(means.values())] if _all_apart(means) else [],
    }
    for over, samples in found.items():
        degrees = sum(len(values) - 1 for values in samples)
        if degrees:
            yield {
                "method": first.method,
                "weights": weights,
                "ipc": first.ipc,
                "recipe": first.recipe,
                "over": over,
                "values": sum(len(values) for values in samples if len(values) > 1),
                "degrees": degrees,
                "sd": _pooled(samples, degrees),
            }


def _by(means: Means, place: int) -> list[list[float]]:
    """The means of the sets that share their cell (place 0) or their distillation seed (place 1)."""
    kinds = sorted({key[place] for key in means}, key=str)
    return [[mean for key, mean in means.items() if key[place] == kind] for kind in kinds]


def _all_apart(means: Means) -> bool:
    return all(len({key[place] for key in means}) == len(means) for place in (0, 1))


def _pooled(samples: Iterable[Iterable[float]], degrees: int) -> float:
    squares = 0.0
    for values in map(list, samples):
        centre = statistics.mean(values)
        squares += math.fsum((value - centre) ** 2 for value in values)
    return math.sqrt(squares / degrees)
