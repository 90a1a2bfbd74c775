"""Stage `report`: the tables and figures of a study as files whose bytes repeat, and the page that shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from robustdd.artifacts import read_manifest, write_atomically
from robustdd.page import report_page
from robustdd.params import Study
from robustdd.report import report_files
from robustdd.results import CellNoise, Curve, FullAccuracy, Pictures, Provenance, RowAccuracy, StudyResults
from robustdd.whitening import Whitening
from tasks.caching import cached_task
from tasks.distill import MATCHED
from tasks.layout import Layout
from tasks.reading import read_table
from tasks.units import Input, Made, Unit, Work, plain


def waves(study: Study, name: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit: every table and figure."""
    params = {
        "name": study.name,
        "settings": _settings(study),
        "matched": tuple(row for row, asked in study.rows.items() if asked.method in MATCHED),
        "datasets": {row: study.cells[study.views[asked.view].cell].dataset for row, asked in study.rows.items()},
    }
    yield [Unit(summarise.name, layout.place("report", name), "report", params, _inputs(study, layout))]


def _inputs(study: Study, layout: Layout) -> dict[str, Input]:
    inputs = {f"accuracy.{row}": Input(layout.artifact("evaluate", row), "accuracy") for row in study.rows}
    inputs |= {f"distilled.{row}": Input(layout.artifact("distill", row), "distilled") for row in study.rows}
    inputs |= {f"full.{cell}": Input(layout.artifact("train-full", cell), "full") for cell in study.grid.full}
    inputs |= {f"labels.{cell}": Input(layout.artifact("labels", cell), "labels") for cell in study.cells}
    views = study.grid.reliability
    inputs |= {f"reliability.{view}": Input(layout.artifact("subset", view), "reliability") for view in views}
    for dataset in study.datasets:
        images = layout.artifact("images", dataset)
        inputs |= {f"train.{dataset}": Input(images, "train"), f"whitening.{dataset}": Input(images, "whitening")}
    return inputs


def _settings(study: Study) -> dict[str, Any]:
    sections: dict[str, Any] = plain(study)
    return {name: value for name, value in sections.items() if isinstance(value, Mapping) and name != "grid"}


@cached_task
def summarise(unit: Unit, work: Work) -> Made:
    """Tables (CSV, Markdown, LaTeX, JSON) and figures (PNG) of the study."""
    return Made(dict(report_files(_results(unit))))


def finish(study: Study, layout: Layout) -> None:
    """Write the page: the same tables and figures, with the run records, which vary, beside them."""
    (unit,) = next(waves(study, study.name, layout))
    write_atomically(layout.page(), report_page(_results(unit, _provenance(layout))))


def _results(unit: Unit, provenance: tuple[Provenance, ...] = ()) -> StudyResults:
    params = unit.params
    return StudyResults(
        name=params["name"],
        rows=tuple(RowAccuracy.from_json(path / "accuracy.json") for path in _folders(unit, "accuracy").values()),
        full=tuple(FullAccuracy.from_json(path / "full.json") for path in _folders(unit, "full").values()),
        curves={row: Curve.from_json(unit.path(f"distilled.{row}", "curve.json")) for row in params["matched"]},
        pictures={row: _pictures(unit, row, dataset) for row, dataset in params["datasets"].items()},
        reliability={view: _frame(path) for view, path in _folders(unit, "reliability").items()},
        noise={cell: _noise(unit, path) for cell, path in _folders(unit, "labels").items()},
        settings=params["settings"],
        provenance=provenance,
    )


def _folders(unit: Unit, kind: str) -> dict[str, Path]:
    """Folders of the inputs of one kind, by dataset, cell, view or row."""
    named = {label.partition("."): needed.folder for label, needed in unit.inputs.items()}
    return {ident: folder for (head, _, ident), folder in named.items() if head == kind}


def _pictures(unit: Unit, row: str, dataset: str) -> Pictures:
    whitening = Whitening.from_tensors(load_file(unit.path(f"whitening.{dataset}", "whitening.safetensors")))
    saved = load_file(unit.path(f"distilled.{row}", "saved.safetensors"))
    steps = sorted(name for name in saved if name.endswith("/images"))
    names = json.loads(unit.path(f"train.{dataset}", "classes.json").read_bytes())
    return Pictures(_pixels(whitening, saved[steps[0]]), _pixels(whitening, saved[steps[-1]]), tuple(names))


def _pixels(whitening: Whitening, images: Tensor) -> Tensor:
    return whitening.invert(images).clamp(0, 1)


def _frame(folder: Path) -> Any:
    table = read_table(folder / "reliability.parquet").to_pandas()
    table["is_clean"] = table["observed"] == table["clean"]
    return table[["id", "static", "dynamic", "mean", "variance", "in_subset", "is_clean"]]


def _noise(unit: Unit, folder: Path) -> CellNoise:
    notes: Mapping[str, Any] = read_manifest(folder, "labels").notes
    matrix = torch.tensor(notes["transition_matrix"], dtype=torch.float64)
    first = next(iter(_folders(unit, "train").values()))
    names = json.loads((first / "classes.json").read_bytes())
    if len(names) != len(matrix):
        names = [str(label) for label in range(len(matrix))]
    return CellNoise(matrix, tuple(names), notes["realised_rate"])


def _provenance(layout: Layout) -> tuple[Provenance, ...]:
    """One entry a stage and id: the facts of its newest unit, and the seconds of all of them."""
    found = []
    for path in sorted((layout.study / "data" / "runs").glob("*/*.run.json")):
        record = json.loads(path.read_bytes())
        units = [facts for facts in record["units"].values() if facts]
        if units:
            last = max(units, key=lambda facts: facts["started"])
            found.append(
                Provenance(
                    stage=record["stage"],
                    id=record["id"],
                    commit=last["commit"],
                    device=last["device"],
                    threads=last["threads"],
                    versions=last["versions"],
                    seconds=sum(facts["seconds"] for facts in units),
                    started=min(facts["started"] for facts in units),
                )
            )
    return tuple(found)
