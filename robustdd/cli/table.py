"""`python -m robustdd table`: the result table of a study, and the part of README.md that is made of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from robustdd.reporting import tables
from robustdd.reporting.collect import collect, save
from robustdd.reporting.differences import comparisons
from robustdd.reporting.readme import measured_on, write_readme
from robustdd.reporting.records import StudyResults
from robustdd.reporting.summary import caveats, result_lines
from robustdd.reporting.tabular import Table


class Form(StrEnum):
    """How the table is written."""

    TERMINAL = "terminal"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"


WRITERS: dict[Form, Callable[[Table], str]] = {
    Form.CSV: Table.as_csv,
    Form.MARKDOWN: Table.as_markdown,
    Form.LATEX: Table.as_latex,
}


def table(
    folder: Annotated[
        Path, typer.Argument(metavar="STUDY", help="A study's folder, a folder of saved results, or a results.json.")
    ] = Path(),
    form: Annotated[Form, typer.Option("--format", help="How to write it.")] = Form.TERMINAL,
    save_to: Annotated[
        Path | None, typer.Option("--save", help="Copy the report to this folder too, to be committed.")
    ] = None,
    readme: Annotated[bool, typer.Option("--write-readme", help="Write results/ into README.md here.")] = False,
) -> None:
    """Show the result table of every study in STUDY: mean, sd and what they are over; no number without its n."""
    studies = collect(folder)
    if save_to is not None:
        save(folder, save_to)
    if readme:
        write_readme(Path("README.md"), Path("results"))
    for study in studies:
        if form is Form.TERMINAL:
            _print(study)
        else:
            sys.stdout.write(WRITERS[form](tables.result_table(result_lines(study.rows, study.full))))


def _print(study: StudyResults) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(highlight=False)
    lines, found = result_lines(study.rows, study.full), comparisons(study.rows)
    for cell, group in groupby(lines, key=lambda line: line.cell):
        console.print()
        console.print(tables.narrow_table(group).as_rich(f"{study.name} · {cell}"))
    notes = RichTable.grid(padding=(0, 1))
    for sentence in [*(one.sentence for one in found), *caveats(lines), measured_on(study.provenance)]:
        if sentence:
            notes.add_row("·", Text(sentence))
    console.print()
    console.print(notes)
