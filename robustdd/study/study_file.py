"""Reading a params.yaml: as DVC reads it, hostile or not, into the frozen sections, every error in one line."""

from __future__ import annotations

import dataclasses
import difflib
import io
import json
import typing
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustdd.errors import UserError
from robustdd.params import Study

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_NODES = 15_000
"""Values after aliases are expanded; more would take the parser longer than a second."""


def read_study(path: Path) -> Study:
    """The file as sections: types, ranges and keys are checked, whether it makes sense is not.

    Raises UserError in one line: file, key, what is wrong and what was expected.
    """
    plain = _parse(_text(path), path)
    return _validate(plain, path)


def _text(path: Path) -> str:
    """Text of the file, decoded as DVC decodes it."""
    if not path.is_file():
        raise UserError(f"{path}: is missing; a study is a folder with a params.yaml")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES // 1_000_000} MB; expected a few kB of params")
    try:
        return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8").read()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        _measure(text, path)
        plain = YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        reason = ": ".join(text.splitlines()[0] for text in (error.context, error.problem) if text)
        raise UserError(one_line(f"{path}: {place}{reason}; expected YAML as DVC reads it")) from error
    except (YAMLError, ValueError) as error:
        raise UserError(one_line(f"{path}: {error}; expected YAML as DVC reads it")) from error
    if not isinstance(plain, dict) or not plain:
        found = "nothing" if not plain else f"a {type(plain).__name__}"
        raise UserError(f"{path}: holds {found}; expected the sections of a study, such as name, cells, views, rows")
    return plain


def _measure(text: str, path: Path) -> None:
    """Refuse what would overrun the parser's stack, or memory once aliases are expanded, before anything is built."""
    from ruamel.yaml import YAML
    from ruamel.yaml import events as kinds

    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in YAML(typ="safe").parse(text):
        if isinstance(event, kinds.AliasEvent):
            if event.anchor not in sizes:
                raise UserError(
                    one_line(f"{path}: alias *{event.anchor} refers to nothing complete; write the value out")
                )
            total += sizes[event.anchor]
        elif isinstance(event, kinds.NodeEvent):
            total += 1
            if isinstance(event, kinds.ScalarEvent):
                sizes |= {event.anchor: 1} if event.anchor else {}
            else:
                open_nodes.append((event.anchor, total))
        elif isinstance(event, kinds.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes |= {anchor: total - before + 1} if anchor else {}
        if len(open_nodes) > MAX_DEPTH:
            raise UserError(f"{path}: is nested deeper than {MAX_DEPTH} levels; a study needs 6")
        if total > MAX_NODES:
            raise UserError(f"{path}: holds more than {MAX_NODES} values (aliases expanded); split the study in two")


def _validate(plain: dict[str, Any], path: Path) -> Study:
    from pydantic import ValidationError

    _refuse_other_types(plain, path)
    try:
        # As JSON: strict validation then takes a list for a tuple and a whole number for a real one, nothing else.
        return _adapter().validate_json(json.dumps(plain))
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=lambda one: one["type"] != _UNKNOWN)
        raise UserError(one_line(f"{path}: {_told(first)}")) from error


@cache
def _adapter() -> TypeAdapter[Study]:
    from pydantic import TypeAdapter

    return TypeAdapter(Study)


def _refuse_other_types(value: Any, path: Path, way: tuple[str, ...] = ()) -> None:
    """Refuse what YAML knows and JSON does not: dates, sets, bytes, keys that are no text."""
    where = ".".join(way) or "the file"
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise UserError(one_line(f"{path}: {where}: key {key!r} is no text; put it in quotes"))
            _refuse_other_types(inner, path, (*way, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_other_types(inner, path, (*way, str(index)))
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise UserError(one_line(f"{path}: {where}: a {type(value).__name__} is not expected; put the text in quotes"))


_UNKNOWN = "unexpected_keyword_argument"


def _told(error: Any) -> str:
    way = tuple(error["loc"])
    where = ".".join(str(part) for part in way) or "the file"
    if error["type"] == _UNKNOWN:
        section = ".".join(str(part) for part in way[:-1]) or "the file"
        return f"{section}: {unknown('key', str(way[-1]), _known_keys(way[:-1]))}"
    if error["type"] == "missing":
        return f"{where}: is missing; every study needs it"
    return f"{where}: {error['msg'].replace('Input should be', 'expected')}, found {_shown(error['input'])}"


def _known_keys(way: Sequence[str | int]) -> list[str]:
    """Keys of the section at `way`."""
    kind: Any = Study
    for part in way:
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind).get(str(part))
        else:
            kind = (typing.get_args(kind) or (None,))[-1]
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def unknown(kind: str, ident: str, known: Iterable[str]) -> str:
    """Message about an id or key that does not exist, with the nearest of those that do."""
    names = list(known)
    nearest = difflib.get_close_matches(ident, names, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"unknown {kind} {ident!r}: {hint}known are {shown or 'none'}"


def one_line(text: str, most: int = 400) -> str:
    """`text` with everything that is not printable escaped, cut at `most` characters."""
    shown = "".join(part if part.isprintable() else repr(part)[1:-1] for part in text[: most + 1])
    return shown if len(text) <= most else f"{shown[:most]}..."


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
