"""Finding the results of a study where its stages, or a commit, left them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robustdd.errors import CorruptArtifact, UserError
from robustdd.reporting.records import FullAccuracy, Provenance, Record, RowAccuracy, StudyResults, read_json

SAVED = (".csv", ".json", ".md", ".tex", ".png")
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class _Accuracies(Record):
    """`results.json`: the accuracies of one study."""

    name: str
    rows: tuple[RowAccuracy, ...]
    full: tuple[FullAccuracy, ...]


def collect(folder: Path) -> list[StudyResults]:
    """The accuracies, and the provenance where it is known, of the studies in `folder`, by name.

    `folder` is a study's folder (its report, else its single accuracies, are read), a folder of saved results, or one
    results.json. UserError when there is nothing; CorruptArtifact for a file that is not what it should be.
    """
    found = [_saved(path) for path in report_paths(folder)] or _unreported(folder)
    if not found:
        raise UserError(f"{folder}: no results found; build them with `dvc repro`, or fetch them with `dvc pull`")
    return sorted(found, key=lambda study: study.name)


def report_paths(folder: Path) -> list[Path]:
    """The results.json files in `folder`: itself, a study's report, or one a saved study."""
    if folder.is_file():
        return [folder]
    patterns = ("results.json", "data/report/*/results.json", "*/results.json", "results/*/results.json")
    return next((found for pattern in patterns if (found := sorted(folder.glob(pattern)))), [])


def read_runs(folder: Path) -> tuple[Provenance, ...]:
    """The run records `STAGE/ID.run.json` in `folder`: facts of each stage's newest unit, seconds of all of them.

    A stage without facts (it came by `dvc pull`) is left out. CorruptArtifact for a file that is no run record.
    """
    return tuple(run for path in sorted(folder.glob("*/*.run.json")) if (run := _run(path)) is not None)


def save(folder: Path, into: Path) -> list[Path]:
    """Copy the reports found in `folder`, with their provenance, to `into/NAME`, to be committed; returns those.

    Rankings of suspicious labels are left out: they are as long as the data. UserError when there is no report.
    """
    from robustdd.store.artifacts import write_atomically

    paths = report_paths(folder)
    if not paths:
        raise UserError(f"{folder}: no report to save; build it with `dvc repro`")
    made = []
    for path in paths:
        study = _saved(path)
        target = into / study.name
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(path.parent.iterdir()):
            if (
                file.suffix in SAVED
                and not file.name.startswith("suspects-")
                and not file.name.endswith(".manifest.json")
            ):
                write_atomically(target / file.name, file.read_bytes())
        if study.provenance:
            runs = [asdict(run) for run in study.provenance]
            write_atomically(target / PROVENANCE, (json.dumps(runs, indent=1, sort_keys=True) + "\n").encode())
        made.append(target)
    return made


def _saved(path: Path) -> StudyResults:
    read = _Accuracies.from_json(path)
    beside = path.with_name(PROVENANCE)
    if beside.exists():
        runs = read_json(beside, tuple[Provenance, ...])
    else:
        runs = read_runs(path.parents[2] / "runs") if path.parent.parent.name == "report" else ()
    return StudyResults(read.name, read.rows, read.full, provenance=runs)


def _unreported(folder: Path) -> list[StudyResults]:
    rows = tuple(RowAccuracy.from_json(path) for path in sorted(folder.glob("data/evaluate/*/accuracy.json")))
    full = tuple(FullAccuracy.from_json(path) for path in sorted(folder.glob("data/train-full/*/full.json")))
    runs = read_runs(folder / "data" / "runs")
    return [StudyResults(folder.resolve().name, rows, full, provenance=runs)] if rows or full else []


def _run(path: Path) -> Provenance | None:
    record: dict[str, Any] = read_json(path, dict)
    try:
        units = [facts for facts in record["units"].values() if facts]
        if not units:
            return None
        newest = max(units, key=lambda facts: facts["started"])
        return Provenance(
            stage=record["stage"],
            id=record["id"],
            **{name: newest[name] for name in ("commit", "device", "threads", "versions")},
            seconds=float(sum(facts["seconds"] for facts in units)),
            started=min(facts["started"] for facts in units),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CorruptArtifact(
            f"{path}: is no run record ({error}); delete it, the next `dvc repro` writes it again"
        ) from error
