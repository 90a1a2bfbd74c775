"""Tables of labels: `labels.csv` or `labels.parquet` with the columns id, label and, if known, clean_label."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from robustdd.data.refusals import told_as
from robustdd.errors import UserError

NAMES = ("labels.csv", "labels.parquet")
MAX_BYTES = 2**27
"""Bytes of a table of labels: 128 MiB."""
MAX_LINE = 20_000
_COLUMNS = (["id", "label"], ["id", "label", "clean_label"])


@dataclass(frozen=True)
class LabelTable:
    """Rows of a table of labels: unique ids, labels and, where the table has them, clean labels, all of one length."""

    ids: list[str]
    labels: list[int] | list[str]
    clean: list[int] | list[str] | None


def read_table(path: Path, expected: int) -> LabelTable:
    """The table at `path`, for `expected` images; labels are whole numbers or texts, as they stand there.

    Raises UserError, in one line with the row, for another number of rows, other columns, ids that are missing or
    stand twice, empty cells, and columns of reals, lists or anything else.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if size > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; expected one short row an image")
    reader = _read_csv if path.suffix == ".csv" else _read_parquet
    columns = reader(path, expected)
    _check_rows(path, columns, expected)
    return LabelTable(columns["id"], columns["label"], columns.get("clean_label"))


def _read_csv(path: Path, expected: int) -> dict[str, list[Any]]:
    with told_as(f"{path}: cannot be read as CSV"), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(_lines(file, path), skipinitialspace=True, strict=True)
        names = next(reader, [])
        _check_columns(path, names)
        rows: list[list[str]] = []
        for row in filter(None, reader):
            if len(row) != len(names):
                raise UserError(f"{path}: row {len(rows) + 1} has {len(row)} cells, expected {len(names)}")
            rows.append(row)
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Lines of `file`, none so long that its cells would take many times its bytes."""
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), ""), start=1):
        if len(line) > MAX_LINE:
            raise UserError(f"{path}: line {number} has more than {MAX_LINE:,} characters; expected id,label")
        yield line


def _read_parquet(path: Path, expected: int) -> dict[str, list[Any]]:
    import pyarrow as pa

    from robustdd.data.parquet import opened

    with opened(path, MAX_BYTES) as file:
        found, rows = file.schema_arrow.names, file.metadata.num_rows
        _check_columns(path, found)
        # The footer's count is compared first: what it promises is what reading it would take.
        if rows != expected:
            raise UserError(_wrong_length(path, rows, expected))
        columns = {}
        for name in found:
            kind = file.schema_arrow.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
            if not is_text and (name == "id" or not pa.types.is_integer(kind)):
                wanted = "text" if name == "id" else "whole numbers or names of classes"
                raise UserError(f"{path}: column {name}: expected {wanted}, found {kind}")
            columns[name] = file.read(columns=[name]).column(0).to_pylist()
        return columns


def _check_rows(path: Path, columns: dict[str, list[Any]], expected: int) -> None:
    ids = columns["id"]
    if len(ids) != expected:
        raise UserError(_wrong_length(path, len(ids), expected))
    for name, values in columns.items():
        for number, value in enumerate(values, start=1):
            if value is None or value == "":
                raise UserError(f"{path}: row {number} has no {name}; expected one in every row")
    ident, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise UserError(f"{path}: id {ident!r} stands {times} times; expected once")


def _wrong_length(path: Path, found: int, expected: int) -> str:
    return f"{path}: has {found:,} rows for {expected:,} images; expected one row an image"


def _check_columns(path: Path, names: list[str]) -> None:
    if names not in _COLUMNS:
        found = ",".join(name if name.isprintable() else repr(name) for name in names[:6])[:100] or "none"
        raise UserError(f"{path}: expected the columns id,label or id,label,clean_label, found {found}")
