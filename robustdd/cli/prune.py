"""`python -m robustdd prune`: frees what no study needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from robustdd.study.prune import Needless, free, needless

GC = "DVC keeps copies until `dvc gc --workspace`, which goes by the dvc.lock and dvc.yaml files of the whole checkout"


def prune(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study's params.yaml.")] = Path(),
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only listed.")] = False,
) -> None:
    """List what lies in STUDY and no study needs: artifacts of ids that none names, checkpoints of finished tasks."""
    found = needless(folder)
    if not found:
        typer.echo(f"{folder}: nothing is needless")
        return
    _print(found)
    total = sum(item.size for item in found)
    if not yes:
        typer.echo(f"nothing is removed; --yes removes these {_megabytes(total)}. {GC}")
        return
    typer.echo(f"removed, {_megabytes(free(folder, found))} freed. {GC}")


def _print(found: Sequence[Needless]) -> None:
    for item in found:
        typer.echo(f"{_megabytes(item.size):>12}  {item.path}  ({item.why})")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
