"""`python -m robustdd plan`: what a study will cost, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustdd.params import Study
from robustdd.study.load import load_study

if TYPE_CHECKING:
    import torch

    from robustdd.study.plan import StagePlan
    from robustdd.study.throughput import Measured


def plan(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study's params.yaml.")] = Path(),
    measure: Annotated[
        bool, typer.Option("--measure", help="First measure this machine: a few minutes, added to the table.")
    ] = False,
) -> None:
    """Say what STUDY will take: stages, steps, hours from a measured table, disk and memory; nothing is computed."""
    from robustdd.study.plan import nearest, plan_of
    from robustdd.study.throughput import read_table

    study = load_study(folder)
    device = _device(study)
    if measure:
        _measure(device, study.threads)
    found = nearest(read_table(), device.type, _model(device), study.threads)
    lines = plan_of(study, folder, found)
    typer.echo(
        f"study {study.name}: {_counted(study.cells, 'cell')}, {_counted(study.views, 'view')}, "
        f"{_counted(study.rows, 'row')}; {study.teachers.num_teachers} teachers a view"
    )
    _print(lines, "GPU" if device.type == "cuda" else "CPU")
    for sentence in _sentences(study, lines, found, device, _model(device)):
        typer.echo(sentence)


def _device(study: Study) -> torch.device:
    """The device that the study asks for, whether it is here or not."""
    import torch

    if study.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(study.device)


def _model(device: torch.device) -> str:
    import torch

    from robustdd.devices import device_model

    here = device.type == "cpu" or torch.cuda.is_available()
    return device_model(device) if here else "a GPU that is not here"


def _measure(device: torch.device, threads: int) -> None:
    from robustdd.devices import resolve
    from robustdd.store.artifacts import write_atomically
    from robustdd.study import throughput
    from robustdd.study.measuring import measure

    found = measure(resolve(device.type), threads)
    path = Path(throughput.__file__).with_name(throughput.TABLE)
    write_atomically(path, throughput.table_bytes(throughput.with_entry(throughput.read_table(), found)))
    typer.echo(f"measured {found.device}, {_threads(found)}: {path}")


def _print(lines: Sequence[StagePlan], unit: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_footer=True)
    known = [line.seconds for line in lines if line.seconds is not None]
    footers = {
        "stage": "all",
        "ids": str(sum(line.ids for line in lines)),
        "steps": f"{sum(line.steps for line in lines):,}",
        f"{unit}-hours": _hours(sum(known)) if known else "?",
        "disk MB": _megabytes(sum(line.disk for line in lines)),
        "checkpoint MB": "",
        "memory MB": "",
    }
    for title, footer in footers.items():
        table.add_column(title, footer=footer, justify="left" if title == "stage" else "right")
    for line in lines:
        hours = "?" if line.seconds is None else _hours(line.seconds)
        table.add_row(
            line.stage,
            str(line.ids),
            f"{line.steps:,}" if line.steps else "",
            hours if line.steps else "",
            *(_megabytes(size) if size else "" for size in (line.disk, line.checkpoints, line.memory)),
        )
    Console(highlight=False).print(table)


def _sentences(
    study: Study, lines: Sequence[StagePlan], found: Measured | None, device: torch.device, model: str
) -> list[str]:
    threads = "" if device.type == "cuda" else f" in {study.threads} thread{'s' * (study.threads > 1)}"
    remedy = "run `python -m robustdd plan --measure` there"
    if found is None:
        hours = f"hours: nothing is measured on a {device.type} device{threads}; {remedy}"
    else:
        where = "" if found.device == model else f", not on {model}: {remedy}"
        hours = (
            f"hours: one task after the other, from steps measured on {found.device}, {_threads(found)}, torch "
            f"{found.torch}, {found.date}{where}"
        )
    disk = sum(line.disk for line in lines)
    return [
        f"{hours}; the start of {sum(line.ids for line in lines)} stages, tables and figures are not in it",
        f"disk: tensors alone, {_megabytes(disk)} MB in data/ and as much again in DVC's cache; "
        "checkpoints: of one running task",
        "memory: of one running task, images, snapshots and one step backward; libraries come on top",
    ]


def _counted(table: Sized, kind: str) -> str:
    return f"{len(table)} {kind}" if len(table) == 1 else f"{len(table)} {kind}s"


def _threads(found: Measured) -> str:
    return found.kind if found.kind == "cuda" else f"{found.threads} thread{'s' * (found.threads > 1)}"


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}" if hours < 0.1 else f"{hours:.2f}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}" if size >= 1e8 else f"{size / 1e6:.1f}"
