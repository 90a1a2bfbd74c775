"""One table, four ways to write it: CSV (the truth, unrounded), Markdown, LaTeX, terminal; equal bytes if equal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from robustdd.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Value = str | int | float | None

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        MINUS: "$-$",
        DASH: "--",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


@dataclass(frozen=True)
class Column:
    """A column: its `name` in CSV, its `title` for people, and how a value is shown; numbers stand to the right."""

    name: str
    title: str
    show: Callable[[Value], str] = str
    numeric: bool = True


def text(value: Value) -> str:
    """A value as it is; a dash for None."""
    return DASH if value is None else str(value)


def percent(value: Value) -> str:
    """A share as a percentage with one decimal, without the sign; a dash for None."""
    return f"{100 * value:.1f}" if isinstance(value, int | float) else DASH


def points(value: Value) -> str:
    """A difference of shares in percentage points, with its sign; a dash for None."""
    return f"{100 * value:+.1f}".replace("-", MINUS) if isinstance(value, int | float) else DASH


def decimal(value: Value) -> str:
    """A number with three decimals; a dash for None."""
    return f"{value:.3f}" if isinstance(value, int | float) else DASH


@dataclass(frozen=True)
class Table:
    """Columns and rows of plain values; None is an empty cell. UserError when a row has not one value a column."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise UserError(f"a row of {len(row)} values in a table of {len(self.columns)} columns")

    def without_empty(self) -> Table:
        """The same table without the columns in which every cell is None."""
        kept = [at for at in range(len(self.columns)) if any(row[at] is not None for row in self.rows)]
        return Table(tuple(self.columns[at] for at in kept), tuple(tuple(row[at] for at in kept) for row in self.rows))

    def shown(self) -> list[list[str]]:
        """The cells as people read them."""
        return [[column.show(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]

    def as_csv(self) -> str:
        """Comma-separated, with a header, shares and differences to six decimals, "\\n" at line ends."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(column.name for column in self.columns)
        writer.writerows([f"{value:.6f}" if isinstance(value, float) else value for value in row] for row in self.rows)
        return out.getvalue()

    def as_markdown(self) -> str:
        """A pipe table, padded so that the source reads as a table too."""
        header = [column.title for column in self.columns]
        body = [[cell.replace("|", "\\|") for cell in row] for row in self.shown()]
        widths = [max(3, *(len(row[at]) for row in [header, *body])) for at in range(len(header))]
        rule = [
            "-" * (width - 1) + (":" if column.numeric else "-")
            for column, width in zip(self.columns, widths, strict=True)
        ]
        return "".join(f"| {' | '.join(self._pad(row, widths))} |\n" for row in [header, rule, *body])

    def as_latex(self) -> str:
        """A `tabular` for the package booktabs."""
        spec = "".join("r" if column.numeric else "l" for column in self.columns)
        header, *body = [
            " & ".join(cell.translate(_LATEX) for cell in row) + r" \\"
            for row in [[column.title for column in self.columns], *self.shown()]
        ]
        inner = [
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            header,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return "\n".join(inner) + "\n"

    def as_rich(self, title: str) -> RichTable:
        """For a terminal; a title may hold line breaks."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for column in self.columns:
            side: Literal["left", "right"] = "right" if column.numeric else "left"
            table.add_column(Text(column.title, justify=side), justify=side, no_wrap=True)
        for row in self.shown():
            table.add_row(*(Text(cell) for cell in row))
        return table

    def _pad(self, row: list[str], widths: list[int]) -> list[str]:
        pairs = zip(self.columns, row, widths, strict=True)
        return [cell.rjust(width) if column.numeric else cell.ljust(width) for column, cell, width in pairs]
