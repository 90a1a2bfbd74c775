"""What the numbers of a study say: one line a setting, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from robustdd.evaluation.statistics import SeedSummary, sampling_reach, summarise, summarise_seeds
from robustdd.reporting.grouping import Setting, method_order, settings
from robustdd.reporting.paper import paper_accuracy
from robustdd.reporting.records import FullAccuracy, RowAccuracy


@dataclass(frozen=True)
class Line:
    """One setting: all rows that differ in the distillation seed alone, or the whole noisy set of a cell (`ipc` None).

    Accuracies are shares, 0 to 1. `seed_means` holds the mean of every distillation (of `full`: training) seed.
    """

    cell: str
    label: str
    rows: tuple[str, ...]
    method: str
    ipc: int | None
    summary: SeedSummary
    seed_means: tuple[float, ...]
    test_images: int
    holdout: float | None
    best_on_test: float | None
    paper: float | None
    noisy_test: bool = False
    """Whether the accuracies are those on the noisy hold-out, for want of test images."""

    @property
    def short_label(self) -> str:
        """The label where the cell is said beside it."""
        return self.label.removeprefix(f"{self.cell}-")


def result_lines(rows: Iterable[RowAccuracy], full: Iterable[FullAccuracy] = ()) -> list[Line]:
    """One line a setting, ordered by cell, images a class (the full set first) and method."""
    lines = [_line_of_rows(setting) for setting in settings(rows)] + [_line_of_full(one) for one in full]
    return sorted(lines, key=lambda line: (line.cell, line.ipc or 0, method_order(line.method), line.label))


def caveats(lines: Sequence[Line]) -> list[str]:
    """What a reader must know before reading a difference into the table, one sentence each."""
    said = [
        "The number is the last step's; nothing is selected on the test set,"
        " except in a column that says “best on test”."
    ]
    for cell, group in groupby(lines, key=lambda line: line.cell):
        best = max(group, key=lambda line: (line.ipc is not None, line.summary.mean))
        reach = 100 * sampling_reach(best.summary.mean, best.test_images)
        if best.noisy_test:
            said.append(
                f"{cell}: there are no test images; accuracy is that on {best.test_images:,} held-out training images"
                " with their noisy labels, where a right answer to a wrong label counts as a mistake."
            )
        kind = "held-out" if best.noisy_test else "test"
        said.append(
            f"{cell}: with {best.test_images:,} {kind} images an accuracy of {100 * best.summary.mean:.1f} % is known"
            f" to ±{reach:.1f} points (95 %); differences under {math.ceil(reach)} points mean nothing."
        )
    if any(line.summary.seeds == 1 for line in lines):
        said.append(
            "The unit is the distillation seed. A line with one seed has no interval: its sd is over evaluation nets,"
            " and says how much training varies, not how much distilling again would."
        )
    if any(line.summary.seeds > 1 for line in lines):
        said.append(
            "Rows of a cell share one draw of the noise, rows of a view its teachers, and all sets the initial networks"
            " they are evaluated with: an interval covers distilling again, not other noise, teachers, networks or test"
            " images, and is not corrected for the number of intervals."
        )
    if any(line.paper is not None for line in lines):
        said.append("The column “paper” quotes the paper, at the paper's scale, which is not always this study's.")
    return said


def _line_of_rows(setting: Setting) -> Line:
    first, nets = setting.first, setting.nets()
    held = [summarise(row.holdout_accuracy).mean for row in setting.rows if row.holdout_accuracy]
    return Line(
        cell=first.cell,
        label=setting.label,
        rows=tuple(row.row for row in setting.rows),
        method=first.method,
        ipc=first.ipc,
        summary=summarise_seeds(nets),
        seed_means=tuple(summarise(values).mean for values in nets.values()),
        test_images=first.test_images,
        holdout=summarise(held).mean if held else None,
        best_on_test=None,
        paper=paper_accuracy(first.cell, first.method, first.ipc, first.view),
        noisy_test=first.noisy_test,
    )


def _line_of_full(full: FullAccuracy) -> Line:
    summary = summarise_seeds({0: full.last})
    return Line(
        cell=full.cell,
        label=f"{full.cell}-full",
        rows=(),
        method="full",
        ipc=None,
        summary=replace(summary, over="training seeds", seeds=0),
        seed_means=full.last,
        test_images=full.test_images,
        holdout=None,
        best_on_test=summarise(full.best).mean,
        paper=paper_accuracy(full.cell, "full", None),
        noisy_test=full.noisy_test,
    )
