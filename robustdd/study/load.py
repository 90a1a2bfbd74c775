"""The study: loading it, looking things up by id, and its sections as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from robustdd.errors import UserError
from robustdd.params import Row, Study, View
from robustdd.study.rules import first_problem
from robustdd.study.study_file import one_line, read_study, unknown

__all__ = ["Study", "load_study", "look_up", "params_of", "rows_of_view", "view_of_row"]
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
        raise UserError(one_line(f"{own}: is not {template}, whose stages serve every study; copy that over it"))
    return study


def look_up(table: Mapping[str, T], kind: str, ident: str) -> T:
    """Entry `ident` of a section by id; `kind` names it in the UserError for one that does not exist."""
    if ident not in table:
        raise UserError(one_line(unknown(kind, ident, table)))
    return table[ident]


def view_of_row(study: Study, row: str) -> View:
    """View of the row with that id. Raises UserError for an unknown one."""
    return study.views[look_up(study.rows, "row", row).view]


def rows_of_view(study: Study, view: str) -> dict[str, Row]:
    """Rows, by id, that read the view with that id. Raises UserError for an unknown one."""
    look_up(study.views, "view", view)
    return {ident: row for ident, row in study.rows.items() if row.view == view}


def params_of(section: Any) -> Any:
    """A section, or a number, text, list or dict of them, as JSON knows it: what a cache key is made of."""
    if dataclasses.is_dataclass(section) and not isinstance(section, type):
        return {field.name: params_of(getattr(section, field.name)) for field in dataclasses.fields(section)}
    if isinstance(section, Mapping):
        return {key: params_of(inner) for key, inner in section.items()}
    if isinstance(section, tuple | list):
        return [params_of(inner) for inner in section]
    return section
