"""Stage `report`: the tables and figures of a study as files whose bytes repeat, and the page that shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file

from robustdd.data.whitening import Whitening
from robustdd.params import MATCHED, Study
from robustdd.reporting.collect import read_runs
from robustdd.reporting.label_quality import RANKINGS
from robustdd.reporting.page import report_page
from robustdd.reporting.records import CellNoise, Curve, FullAccuracy, Pictures, Provenance, RowAccuracy, StudyResults
from robustdd.reporting.report import report_files
from robustdd.store.artifacts import read_manifest, write_atomically
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work, plain
from tasks.files import read_table


def waves(study: Study, name: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit: every table and figure."""
    params = {
        "name": study.name,
        "settings": _settings(study),
        "matched": tuple(row for row, asked in study.rows.items() if asked.method in MATCHED),
        "datasets": {cell: asked.dataset for cell, asked in study.cells.items()},
        "cells": {row: study.views[asked.view].cell for row, asked in study.rows.items()},
        "views": {view: study.views[view].cell for view in study.grid.reliability},
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


@cached_task("report.summarise")
def summarise(unit: Unit, work: Work) -> Made:
    """Tables (CSV, Markdown, LaTeX, JSON) and figures (PNG) of the study."""
    return Made(dict(report_files(_results(unit))))


def finish(study: Study, layout: Layout) -> None:
    """Write the page: the same tables and figures, with the run records, which vary, beside them."""
    (unit,) = next(waves(study, study.name, layout))
    write_atomically(layout.page(), report_page(_results(unit, read_runs(layout.runs()))))


def _results(unit: Unit, provenance: tuple[Provenance, ...] = ()) -> StudyResults:
    params = unit.params
    return StudyResults(
        name=params["name"],
        rows=tuple(RowAccuracy.from_json(path / "accuracy.json") for path in _folders(unit, "accuracy").values()),
        full=tuple(FullAccuracy.from_json(path / "full.json") for path in _folders(unit, "full").values()),
        curves={row: Curve.from_json(unit.path(f"distilled.{row}", "curve.json")) for row in params["matched"]},
        pictures={row: _pictures(unit, row, params["datasets"][cell]) for row, cell in params["cells"].items()},
        reliability={view: _frame(unit, view, params["datasets"][cell]) for view, cell in params["views"].items()},
        noise={cell: noise for cell in params["datasets"] if (noise := _noise(unit, cell)) is not None},
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
    before, after = (whitening.invert(saved[step]).clamp(0, 1) for step in (steps[0], steps[-1]))
    return Pictures(before, after, _class_names(unit, dataset))


def _class_names(unit: Unit, dataset: str) -> tuple[str, ...]:
    return tuple(json.loads(unit.path(f"train.{dataset}", "classes.json").read_bytes()))


def _frame(unit: Unit, view: str, dataset: str) -> Any:
    table = read_table(unit.path(f"reliability.{view}", "reliability.parquet")).to_pandas()
    if "clean" in table.columns:
        table["is_clean"] = table["observed"] == table["clean"]
    names = _class_names(unit, dataset)
    table["observed_class"] = pd.Categorical.from_codes(table["observed"], categories=pd.Index(names))
    told = ["is_clean"] if "clean" in table.columns else []
    return table[["id", *RANKINGS, "variance", "in_subset", *told, "observed_class"]]


def _noise(unit: Unit, cell: str) -> CellNoise | None:
    """The noise of a cell, None where the clean labels are not known."""
    needed = unit.inputs[f"labels.{cell}"]
    notes: Mapping[str, Any] = read_manifest(needed.folder, needed.name).notes
    if notes["transition_matrix"] is None:
        return None
    matrix = torch.tensor(notes["transition_matrix"], dtype=torch.float64)
    return CellNoise(matrix, _class_names(unit, unit.params["datasets"][cell]), notes["realised_rate"])
