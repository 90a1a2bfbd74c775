"""CIFAR from parquet files as Hugging Face lays them out: encoded images in structs, a column of labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from robustdd.data.catalog import Published
from robustdd.data.decoding import Encoded, Shape, allocate, decode_into
from robustdd.data.image_set import ImageSet
from robustdd.data.parquet import opened
from robustdd.errors import UserError

MAX_BYTES = 2**30
"""Bytes of one file once unpacked: 1 GiB; all of CIFAR as PNG takes 140 MB."""
_IMAGE_COLUMNS = ("img", "image")
_ROWS = 4096
"""Rows at a time, so that encoded and decoded images never both lie in memory whole."""


class ParquetFiles:
    """The parquet files train*.parquet and test*.parquet of a CIFAR in `folder`.

    Raises UserError in one line when a file cannot be read, lacks a column, or the files hold another number of images
    or other classes than the published data set.
    """

    def __init__(self, published: Published, folder: Path) -> None:
        self._published, self._folder = published, folder

    @cached_property
    def files(self) -> Mapping[str, Path]:
        """All files of both parts by name."""
        return {path.name: path for part in ("train", "test") for path in self._paths(part)}

    def train(self) -> ImageSet:
        """The 50,000 training images in the order of the files; whether that is the published one they do not tell."""
        return self._read("train", self._published.train_images)

    def test(self) -> ImageSet:
        """The 10,000 test images in the order of the files."""
        return self._read("test", self._published.test_images)

    def _paths(self, part: str) -> list[Path]:
        paths = sorted(self._folder.glob(f"{part}*.parquet"))
        if not paths:
            raise UserError(f"{self._folder}: has no {part}*.parquet; expected train*.parquet and test*.parquet")
        return paths

    def _read(self, part: str, count: int) -> ImageSet:
        published, paths = self._published, self._paths(part)
        self._check_count(paths, part, count)
        images = allocate((count, 3, 32, 32))
        labels: list[int] = []
        for path in paths:
            for encoded, some in _batches(path, published):
                decode_into(images, len(labels), encoded, Shape(channels=3))
                labels += some
        known = torch.tensor(labels)
        ids = tuple(f"{published.kind}-{part}-{row:05d}" for row in range(count))
        return ImageSet(images, known, ids, published.class_names, known)

    def _check_count(self, paths: list[Path], part: str, count: int) -> None:
        found = sum(row_count(path) for path in paths)
        if found != count:
            kind, name = self._published.kind, self._published.name
            what = f"{part}*.parquet hold {found:,} images, {name} has {count:,}"
            raise UserError(f"{self._folder}: {what}; kind {kind} takes all of it")


def row_count(path: Path) -> int:
    """Rows that the footer of a parquet file tells."""
    with opened(path, MAX_BYTES) as file:
        return int(file.metadata.num_rows)


def image_column(path: Path, published: Published) -> str | None:
    """Name of the column of encoded images; None when it or the column of labels is missing: another data set."""
    with opened(path, MAX_BYTES) as file:
        return _columns(file.schema_arrow, published)


def _columns(schema: pa.Schema, published: Published) -> str | None:
    if published.column not in schema.names or not pa.types.is_integer(schema.field(published.column).type):
        return None
    for name in _IMAGE_COLUMNS:
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
                return name
    return None


def _batches(path: Path, published: Published) -> Iterator[tuple[list[Encoded], list[int]]]:
    """Encoded images and labels of some rows at a time."""
    with opened(path, MAX_BYTES) as file:
        column = _columns(file.schema_arrow, published)
        if column is None:
            raise UserError(
                f"{path}: expected the columns img (struct with bytes) and {published.column} (whole numbers)"
            )
        _check_classes(path, file.schema_arrow, published)
        first = 0
        for batch in file.iter_batches(batch_size=_ROWS, columns=[f"{column}.bytes", published.column]):
            blobs, labels = batch.column(0).field(0).to_pylist(), batch.column(1).to_pylist()
            for row, (blob, label) in enumerate(zip(blobs, labels, strict=True), start=first):
                _check_row(f"{path}: row {row}", blob, label, len(published.class_names))
            yield [(f"{path}: image {row}", _given(blob)) for row, blob in enumerate(blobs, start=first)], labels
            first += len(labels)


def _check_row(where: str, blob: Any, label: Any, classes: int) -> None:
    if not isinstance(blob, bytes):
        raise UserError(f"{where} has no bytes of an image; expected them in the file itself")
    if label is None or not 0 <= label < classes:
        raise UserError(f"{where} has label {label}; expected 0..{classes - 1}")


def _given(blob: bytes) -> Any:
    return lambda: blob


def _check_classes(path: Path, schema: pa.Schema, published: Published) -> None:
    """Refuse other class names, or another order, where the file tells them as Hugging Face's library writes them."""
    told = (schema.metadata or {}).get(b"huggingface")
    try:
        names = json.loads(told or b"")["info"]["features"][published.column]["names"]
    except (TypeError, ValueError, KeyError):
        return
    if isinstance(names, dict):
        names = list(names.values())
    if tuple(names) != published.class_names:
        raise UserError(f"{path}: names other classes than {published.name}, or in another order")
