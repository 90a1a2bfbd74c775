"""A setting: the rows of a study that differ in nothing but the distillation seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from robustdd.errors import UserError
from robustdd.reporting.records import RowAccuracy

METHODS = ("full", "random", "selected", "dance", "rcig", "datm", "sgr", "ours")
"""Order of the methods in every table and figure: what costs nothing first, the paper's last."""


@dataclass(frozen=True)
class Setting:
    """Rows of one cell, view, method, size and recipe, by distillation seed. UserError when two have the same seed."""

    rows: tuple[RowAccuracy, ...]

    def __post_init__(self) -> None:
        for one, other in zip(self.rows, self.rows[1:], strict=False):
            if one.seed == other.seed:
                fault = f"rows {one.row} and {other.row} are one setting with one seed"
                raise UserError(f"{fault}: expected another seed, recipe, size or view, or one row less")

    @property
    def first(self) -> RowAccuracy:
        """The row of the lowest seed, for what all rows share."""
        return self.rows[0]

    @property
    def label(self) -> str:
        """Id of the only row; else what the ids begin with, and a star."""
        if len(self.rows) == 1:
            return self.first.row
        letters = zip(*(row.row for row in self.rows), strict=False)
        same = 0
        for column in letters:
            if len(set(column)) > 1:
                break
            same += 1
        return f"{self.first.row[:same]}*"

    def nets(self) -> dict[int, tuple[float, ...]]:
        """Accuracies of the evaluation networks by distillation seed."""
        return {row.seed: row.accuracy for row in self.rows}


def settings(rows: Iterable[RowAccuracy]) -> list[Setting]:
    """The settings that `rows` make up, by cell, size, method, view and recipe. UserError as `Setting`."""
    ordered = sorted(rows, key=lambda row: (_key(row), row.seed, row.row))
    return [Setting(tuple(group)) for _, group in groupby(ordered, key=_key)]


def method_order(method: str) -> tuple[int, str]:
    """Sort key of a method: the order of `METHODS`, then the name of one that is not among them."""
    return (METHODS.index(method) if method in METHODS else len(METHODS), method)


def _key(row: RowAccuracy) -> tuple[str, int, tuple[int, str], str, str]:
    return (row.cell, row.ipc, method_order(row.method), row.view, row.recipe)
