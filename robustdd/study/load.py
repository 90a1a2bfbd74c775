"""The study: loading it, looking things up by id, and its sections as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from robustdd.errors import UserError
from robustdd.params import Dataset, Recipe, Row, Study, View
from robustdd.study.rules import first_problem, is_id
from robustdd.study.study_file import one_line, read_study, unknown

__all__ = [
    "Study",
    "cell_of_view",
    "dataset_of_cell",
    "ids_of_stages",
    "load_study",
    "look_up",
    "params_of",
    "recipe_of_row",
    "require_id",
    "rows_of_view",
    "view_of_row",
]
T = TypeVar("T")


def load_study(folder: Path) -> Study:
    """The study of folder/params.yaml, read as DVC reads it, every key checked and the whole checked for sense.

    Raises UserError in one line: file, key, what is wrong and what was expected; or a dvc.yaml that is not the code's.
    """
    path = folder / "params.yaml"
    study = read_study(path)
    problem = first_problem(study)
    if problem is not None:
        raise UserError(one_line(f"{path}: {problem}"))
    own, template = folder / "dvc.yaml", folder / study.root / "dvc.yaml"
    if own.is_file() and template.is_file() and own.read_bytes() != template.read_bytes():
        link = f"{study.root}/dvc.yaml"
        raise UserError(one_line(f"{own}: is not {link}, whose stages serve every study; link it: ln -sf {link} {own}"))
    return study


def look_up(table: Mapping[str, T], kind: str, ident: str) -> T:
    """Entry `ident` of a section by id; `kind` names it in the UserError for one that does not exist."""
    if ident not in table:
        raise UserError(one_line(unknown(kind, ident, table)))
    return table[ident]


def dataset_of_cell(study: Study, cell: str) -> Dataset:
    """Dataset of the cell with that id. Raises UserError for an unknown one."""
    return study.datasets[look_up(study.cells, "cell", cell).dataset]


def cell_of_view(study: Study, view: str) -> str:
    """Id of the cell that the view with that id sees. Raises UserError for an unknown one."""
    return look_up(study.views, "view", view).cell


def view_of_row(study: Study, row: str) -> View:
    """View of the row with that id. Raises UserError for an unknown one."""
    return study.views[look_up(study.rows, "row", row).view]


def recipe_of_row(study: Study, row: str) -> Recipe:
    """Recipe of the row with that id. Raises UserError for an unknown one."""
    return study.recipes[look_up(study.rows, "row", row).recipe]


def rows_of_view(study: Study, view: str) -> dict[str, Row]:
    """Rows, by id, that read the view with that id. Raises UserError for an unknown one."""
    look_up(study.views, "view", view)
    return {ident: row for ident, row in study.rows.items() if row.view == view}


def require_id(study: Study, stage: str, ident: str) -> None:
    """Raise UserError unless the stage of that name runs for `ident` in this study."""
    if not is_id(ident):
        raise UserError(one_line(f"id {ident!r} is not allowed; expected a-z, 0-9 and '-', at most 61"))
    tables = {**_tables(study), "report": ("report", (ident,))}
    kind, known = look_up(tables, "stage", stage)
    if ident not in known:
        raise UserError(one_line(unknown(kind, ident, known)))


def ids_of_stages(study: Study) -> dict[str, Collection[str]]:
    """The ids that each stage runs for in this study, by the stage's name, in an order in which they can run."""
    return {stage: ids for stage, (_, ids) in _tables(study).items()}


def _tables(study: Study) -> dict[str, tuple[str, Collection[str]]]:
    """What an id of a stage is called, and which ones there are."""
    grid = study.grid
    return {
        "images": ("dataset", study.datasets),
        "labels": ("cell", study.cells),
        "forgetting": ("cell of grid.forgetting", grid.forgetting),
        "teachers": ("view", study.views),
        "consistency": ("view of grid.reliability", grid.reliability),
        "subset": ("view of grid.reliability", grid.reliability),
        "finetune": ("view of grid.finetune", grid.finetune),
        "distill": ("row", study.rows),
        "train-full": ("cell of grid.full", grid.full),
        "evaluate": ("row", study.rows),
        "report": ("report", (study.name,)),
    }


def params_of(section: Any) -> Any:
    """A section, or a number, text, list or dict of them, as JSON knows it: what a cache key is made of."""
    if dataclasses.is_dataclass(section) and not isinstance(section, type):
        return {field.name: params_of(getattr(section, field.name)) for field in dataclasses.fields(section)}
    if isinstance(section, Mapping):
        return {key: params_of(inner) for key, inner in section.items()}
    if isinstance(section, tuple | list):
        return [params_of(inner) for inner in section]
    return section
