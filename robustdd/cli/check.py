"""`python -m robustdd check`: whether a params.yaml is right, and what it asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustdd.params import Noise, Study
from robustdd.study.load import load_study, rows_of_view

if TYPE_CHECKING:
    from rich.table import Table


def check(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study's params.yaml.")] = Path(),
    data: Annotated[bool, typer.Option(help="Read every image and every label, too.")] = True,
) -> None:
    """Check the params.yaml of STUDY, its images and its labels, and say what it asks for; nothing is computed."""
    from rich.console import Console

    study = load_study(folder)
    found = _data(study, folder) if data else []
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{folder / 'params.yaml'}: study {study.name}, nothing wrong")
    for line in _summary(study):
        console.print(line)
    console.print(_views(study))
    for line in found:
        console.print(line)


def _data(study: Study, folder: Path) -> list[str]:
    from robustdd.study.check_data import data_lines

    return list(data_lines(study, folder))


def _summary(study: Study) -> Iterator[str]:
    tables: dict[str, Sized] = {"dataset": study.datasets, "cell": study.cells, "view": study.views, "row": study.rows}
    yield ", ".join(_counted(len(table), kind) for kind, table in tables.items())
    teachers = _counted(study.teachers.num_teachers, "teacher")
    threads = _counted(study.threads, "thread")
    yield f"{teachers} a view, {study.teachers.epochs} epochs each; {study.device}, {threads} a task"
    for ident, cell in study.cells.items():
        yield f"cell {ident}: {cell.dataset}, {_noise(cell.noise)}"


def _counted(count: int, kind: str) -> str:
    return f"{count} {kind}" if count == 1 else f"{count} {kind}s"


def _views(study: Study) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for title in ("view", "weights", "rows"):
        table.add_column(title, overflow="fold")
    for ident, view in study.views.items():
        methods = Counter(row.method for row in rows_of_view(study, ident).values())
        table.add_row(
            ident, view.weights, ", ".join(f"{count} {method}" for method, count in methods.items()) or "none"
        )
    return table


def _noise(noise: Noise) -> str:
    if noise.kind == "symmetric":
        return f"symmetric noise, {noise.rate:.4g} of the labels wrong"
    if noise.kind in ("asymmetric", "pairflip"):
        return f"{noise.kind} noise, {noise.rate:.4g} of the labels of a class that flips wrong"
    if noise.kind == "human":
        return f"human labels, {noise.annotation}"
    return "no noise" if noise.kind == "none" else "noise of a matrix"
