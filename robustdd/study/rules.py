"""Whether a study makes sense: ids that exist, methods that fit their view, a grid that fits the rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from robustdd.params import Study
from robustdd.study.sense_of_datasets import dataset_problems
from robustdd.study.sense_of_noise import noise_problems
from robustdd.study.sense_of_numbers import number_problems
from robustdd.study.study_file import unknown

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_WAY = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


def first_problem(study: Study) -> str | None:
    """What is wrong, in one line, the most basic first; None: the study makes sense."""
    rules = (_ids, _references, dataset_problems, noise_problems, _views, _rows, _grid, number_problems)
    return next((problem for rule in rules for problem in rule(study)), None)


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a dataset, cell, view, row or recipe; ids reach file names and a shell."""
    return _ID.fullmatch(text) is not None


def _ids(study: Study) -> Iterator[str]:
    tables = ("datasets", "cells", "views", "rows", "recipes")
    names = [("name", study.name), *((table, ident) for table in tables for ident in getattr(study, table))]
    for table, ident in names:
        if not is_id(ident):
            yield f"{table}: id {ident!r} is not allowed; expected a-z, 0-9 and '-', at most 61, none of '-' first"
    if not _WAY.fullmatch(study.root):
        yield f"root: {study.root!r} is not allowed; expected a relative path such as . or ../.."


def _references(study: Study) -> Iterator[str]:
    for ident, cell in study.cells.items():
        if cell.dataset not in study.datasets:
            yield f"cells.{ident}.dataset: {unknown('dataset', cell.dataset, study.datasets)}"
    for ident, view in study.views.items():
        if view.cell not in study.cells:
            yield f"views.{ident}.cell: {unknown('cell', view.cell, study.cells)}"
    for ident, row in study.rows.items():
        if row.view not in study.views:
            yield f"rows.{ident}.view: {unknown('view', row.view, study.views)}"
        if row.recipe not in study.recipes:
            yield f"rows.{ident}.recipe: {unknown('recipe', row.recipe, study.recipes)}"


def _views(study: Study) -> Iterator[str]:
    for ident, view in study.views.items():
        if (view.blend_maximum is not None) != (view.weights == "fixed"):
            yield f"views.{ident}.blend_maximum: belongs to weights fixed and to no other, found weights {view.weights}"
        source = "labels" if view.weights in ("plain", "oracle") else "forgetting"
        if view.weights_from != source:
            yield f"views.{ident}.weights_from: weights {view.weights} need {source}, found {view.weights_from}"


def _rows(study: Study) -> Iterator[str]:
    for ident, row in study.rows.items():
        weights = study.views[row.view].weights
        if row.method == "datm" and weights != "plain":
            yield f"rows.{ident}.view: method datm needs a view with weights plain, {row.view!r} has {weights}"
        if row.method in ("sgr", "ours") and weights == "plain":
            yield f"rows.{ident}.view: method {row.method} needs a weighted view, {row.view!r} has plain"
        if row.method == "ours" and weights == "oracle":
            yield f"rows.{ident}.method: ours needs static weights for its subset; weights oracle have none"
        targets = "finetune" if row.method == "ours" else "teachers"
        if row.targets != targets:
            yield f"rows.{ident}.targets: method {row.method} needs {targets}, found {row.targets}"


def _grid(study: Study) -> Iterator[str]:
    grid, cells, views = study.grid, list(study.cells), list(study.views)
    scored = {view.cell for view in study.views.values() if view.weights_from == "forgetting"}
    weighted = {ident for ident, view in study.views.items() if view.weights_from == "forgetting"}
    ours = {row.view for row in study.rows.values() if row.method == "ours"}
    yield from _listed("forgetting", grid.forgetting, cells, scored, scored, "a view that needs static weights")
    yield from _listed("reliability", grid.reliability, views, weighted, ours, "static weights")
    yield from _listed("finetune", grid.finetune, views, ours, ours, "a row of method ours")
    yield from _listed("full", grid.full, cells, set(cells), set(), "a row")


def _listed(
    name: str, given: Sequence[str], known: Sequence[str], allowed: set[str], needed: set[str], reason: str
) -> Iterator[str]:
    """Ids of grid.`name` that do not exist, stand twice or are not `allowed`; then those `needed` and missing."""
    for ident in given:
        if ident not in known:
            yield f"grid.{name}: {unknown('id', ident, known)}"
        elif given.count(ident) > 1:
            yield f"grid.{name}: names {ident!r} twice; once is enough"
        elif ident not in allowed:
            yield f"grid.{name}: names {ident!r}, which has not {reason}; take it out"
    for ident in sorted(needed - set(given)):
        yield f"grid.{name}: lacks {ident!r}, which a view or a row of it needs; add it"
