"""The tables of a report: results by setting, every single network, paired differences, quality of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from robustdd.reporting.differences import Comparison
from robustdd.reporting.label_quality import SuspectLabel, ViewQuality
from robustdd.reporting.records import FullAccuracy, RowAccuracy
from robustdd.reporting.summary import Line
from robustdd.reporting.tabular import Column, Table, Value, decimal, percent, points, text

if TYPE_CHECKING:
    from robustdd.evaluation.statistics import PairedDifference


SHORT_OVER = {"evaluation nets": "eval. nets", "distillation seeds": "seeds", "training seeds": "trainings"}
"""What a standard deviation is over, where space is short."""


def result_table(lines: Iterable[Line]) -> Table:
    """One row a setting: mean and sd of the test accuracy, over how many networks and seeds, and the paper's value."""
    columns = (
        Column("row", "row", text, numeric=False),
        Column("method", "method", text, numeric=False),
        Column("ipc", "IPC", text),
        Column("distillation_seeds", "distillation seeds", text),
        Column("nets", "nets", text),
        Column("accuracy", "accuracy %", percent),
        Column("sd", "sd", percent),
        Column("sd_over", "sd over", text, numeric=False),
        Column("holdout_accuracy", "noisy hold-out %", percent),
        Column("best_on_test", "best on test %", percent),
        Column("paper", "paper %", percent),
    )
    return Table(columns, tuple(_result(line) for line in lines)).without_empty()


def narrow_table(lines: Iterable[Line]) -> Table:
    """The result table of one cell for a terminal of 80 columns: what the cell and the row's id say is left out."""
    columns = (
        Column("row", "\nrow", text, numeric=False),
        Column("ipc", "\nIPC", text),
        Column("distillation_seeds", "\nseeds", text),
        Column("nets", "\nnets", text),
        Column("accuracy", "accuracy\n%", percent),
        Column("sd", "\nsd", percent),
        Column("sd_over", "\nsd over", text, numeric=False),
        Column("holdout_accuracy", "noisy\nhold-out %", percent),
        Column("best_on_test", "best on\ntest %", percent),
        Column("paper", "paper\n%", percent),
    )
    whole = [(line, line.summary) for line in lines]
    body = [
        (
            line.short_label,
            line.ipc,
            one.seeds or None,
            one.nets,
            one.mean,
            one.sd,
            SHORT_OVER[one.over],
            line.holdout,
            line.best_on_test,
            line.paper,
        )
        for line, one in whole
    ]
    return Table(columns, tuple(body)).without_empty()


def nets_table(rows: Iterable[RowAccuracy], full: Iterable[FullAccuracy] = ()) -> Table:
    """One row a network: every number behind the means, with its seeds."""
    columns = (
        Column("row", "row", text, numeric=False),
        Column("method", "method", text, numeric=False),
        Column("distillation_seed", "distillation seed", text),
        Column("evaluation_seed", "evaluation seed", text),
        Column("accuracy", "accuracy %", percent),
        Column("holdout_accuracy", "noisy hold-out %", percent),
        Column("best_on_test", "best on test %", percent),
        Column("best_epoch", "best epoch", text),
    )
    body: list[tuple[Value, ...]] = []
    for row in sorted(rows, key=lambda one: one.row):
        held = row.holdout_accuracy or [None] * len(row.accuracy)
        for seed, accuracy, holdout in zip(row.evaluation_seeds, row.accuracy, held, strict=True):
            body.append((row.row, row.method, row.seed, seed, accuracy, holdout, None, None))
    for cell in sorted(full, key=lambda one: one.cell):
        for seed, last, best, epoch in zip(cell.seeds, cell.last, cell.best, cell.best_epoch, strict=True):
            body.append((cell.cell, "full", None, seed, last, None, best, epoch))
    return Table(columns, tuple(body)).without_empty()


def comparison_table(found: Iterable[Comparison]) -> Table:
    """One row a paired difference, in percentage points, with its 95 % interval, degrees of freedom and verdict."""
    columns = (
        Column("first", "row", text, numeric=False),
        Column("second", "against", text, numeric=False),
        Column("difference", "difference", points),
        Column("low", "from", points),
        Column("high", "to (95 %)", points),
        Column("degrees_of_freedom", "df", text),
        Column("verdict", "verdict", text, numeric=False),
    )
    return Table(columns, tuple((one.first, one.second, *_interval(one.difference), one.verdict) for one in found))


def quality_table(views: Iterable[ViewQuality]) -> Table:
    """One row a view and weight: how well a low weight finds a wrong label."""
    columns = (
        Column("view", "view", text, numeric=False),
        Column("weight", "weight", text, numeric=False),
        Column("auroc", "AUROC", decimal),
        Column("average_precision", "average precision", decimal),
        Column("precision_at_noise_rate", "precision at noise rate", decimal),
    )
    scores = [(view.view, name, score) for view in views for name, score in view.scores.items()]
    body = [(view, name, one.auroc, one.average_precision, one.precision_at_noise_rate) for view, name, one in scores]
    return Table(columns, tuple(body))


def class_table(views: Iterable[ViewQuality]) -> Table:
    """One row a view, weight and observed class: how well a low weight finds the wrong labels of that class."""
    columns = (
        Column("view", "view", text, numeric=False),
        Column("weight", "weight", text, numeric=False),
        Column("observed_class", "observed class", text, numeric=False),
        Column("auroc", "AUROC", decimal),
        Column("average_precision", "average precision", decimal),
        Column("precision_at_noise_rate", "precision at noise rate", decimal),
    )
    body = [
        (view.view, weight, name, one.auroc, one.average_precision, one.precision_at_noise_rate)
        for view in views
        for weight, classes in view.by_class.items()
        for name, one in classes.items()
    ]
    return Table(columns, tuple(body))


def subset_table(views: Iterable[ViewQuality]) -> Table:
    """One row a view: size, purity and class balance of the reliable subset, beside those of the whole set."""
    columns = (
        Column("view", "view", text, numeric=False),
        Column("images", "images", text),
        Column("clean_share", "right labels %", percent),
        Column("subset_images", "in subset", text),
        Column("subset_clean_share", "right in subset %", percent),
        Column("balance", "smallest / largest class", decimal),
        Column("subset_balance", "the same in subset", decimal),
    )
    body = [
        (
            *(one.view, one.images, one.clean_share, one.subset_images, one.subset_clean_share),
            *(one.balance, one.subset_balance),
        )
        for one in views
    ]
    return Table(columns, tuple(body)).without_empty()


def suspect_table(labels: Sequence[SuspectLabel]) -> Table:
    """The labels that the weights trust least, worst first."""
    columns = (
        Column("rank", "rank", text),
        Column("id", "id", text, numeric=False),
        Column("mean", "mean weight", decimal),
        Column("static", "static", decimal),
        Column("variance", "variance", decimal),
        Column("is_wrong", "wrong", text, numeric=False),
    )
    body = [(one.rank, one.id, one.mean, one.static, one.variance, one.verdict) for one in labels]
    return Table(columns, tuple(body)).without_empty()


def _result(line: Line) -> tuple[Value, ...]:
    summary = line.summary
    counts = (summary.seeds or None, summary.nets)
    return (
        *(line.label, line.method, line.ipc, *counts, summary.mean, summary.sd, summary.over),
        *(line.holdout, line.best_on_test, line.paper),
    )


def _interval(difference: PairedDifference) -> tuple[Value, ...]:
    low, high = difference.interval or (None, None)
    return (difference.mean, low, high, difference.degrees)
