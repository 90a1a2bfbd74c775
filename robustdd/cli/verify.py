"""`python -m robustdd verify`: whether every artifact of a study is what its manifest says."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from robustdd.errors import CorruptArtifact, UserError
from robustdd.store.manifest import JOURNAL, SUFFIX
from robustdd.store.verifying import verify as verify_artifact


@dataclass
class _Counts:
    artifacts: int = 0
    files: int = 0
    size: int = 0


def verify(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study's params.yaml.")] = Path(),
) -> None:
    """Compare every file under STUDY/data with the sha256 of its manifest; exit 1 at the first that differs.

    What the study names and is not here at all is listed: it was not fetched, or a verified remote held another.
    """
    _print(_verified(folder / "data"))
    absent = _absent(folder)
    if absent:
        typer.echo(f"not here: {', '.join(absent)}; `dvc repro` makes them")


def _absent(folder: Path) -> list[str]:
    """Stages and ids of the study without any artifact."""
    from robustdd.study.graph import places
    from robustdd.study.load import load_study

    if not (folder / "params.yaml").is_file():
        return []
    known = places(load_study(folder))
    return [
        f"{stage} {ident}" for stage, ident in known if not any((folder / "data" / stage / ident).glob(f"*{SUFFIX}"))
    ]


def _verified(data: Path) -> dict[str, _Counts]:
    """What is whole, by stage. Raises CorruptArtifact for the first file that is not, UserError when there is none."""
    pending = sorted(data.rglob(f"*{SUFFIX}{JOURNAL}"))
    if pending:
        raise CorruptArtifact(f"{pending[0]}: publishing was interrupted; run the stage again, it completes it")
    stages: dict[str, _Counts] = defaultdict(_Counts)
    for path in sorted(data.rglob(f"*{SUFFIX}")):
        manifest = verify_artifact(path.parent, path.name.removesuffix(SUFFIX))
        counts = stages[path.relative_to(data).parts[0]]
        counts.artifacts += 1
        counts.files += len(manifest.files)
        counts.size += sum(facts["size"] for facts in manifest.files.values())
    if not stages:
        raise UserError(f"{data}: holds no artifact; run `dvc repro` or `dvc pull` in the study first")
    return stages


def _print(stages: dict[str, _Counts]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_footer=True)
    every = list(stages.values())
    table.add_column("stage", footer="all whole")
    table.add_column("artifacts", footer=str(sum(counts.artifacts for counts in every)), justify="right")
    table.add_column("files", footer=str(sum(counts.files for counts in every)), justify="right")
    table.add_column("MB", footer=f"{sum(counts.size for counts in every) / 1e6:.1f}", justify="right")
    for stage, counts in stages.items():
        table.add_row(stage, str(counts.artifacts), str(counts.files), f"{counts.size / 1e6:.1f}")
    Console(highlight=False).print(table)
