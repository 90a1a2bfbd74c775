"""Small data sets on disk for tests: image files, tables of labels, CIFAR in its original formats."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from robustdd.data import cifar
from robustdd.data.catalog import BY_KIND, Published


def pixels(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def image_bytes(array: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


def write_image(path: Path, seed: int, height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    array = pixels(seed, height, width, channels)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_bytes(array))
    return array


def class_folders(root: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 3, seed: int = 0) -> Path:
    for place, name in enumerate(classes):
        for number in range(each):
            write_image(root / name / f"{number}.png", seed + place * each + number)
    return root


def labelled(root: Path, table: str = "id,label\na.png,cat\nb.png,dog\nc.png,cat\n") -> Path:
    for seed, name in enumerate(("a", "b", "c")):
        write_image(root / f"{name}.png", seed)
    (root / "labels.csv").write_text(table)
    return root


def small_cifar(kind: str, monkeypatch: pytest.MonkeyPatch, train: int = 20, test: int = 10) -> Published:
    """Have a CIFAR of these counts take the place of the published one; its md5 sums are those of `write_python`."""
    small = replace(BY_KIND[kind], train_images=train, test_images=test)
    monkeypatch.setitem(cifar.BY_KIND, kind, small)
    return small


def write_parquet(
    path: Path, published: Published, count: int, first: int = 0, column: str = "img", names: list[str] | None = None
) -> list[int]:
    """A file as Hugging Face writes it: PNGs in a struct of bytes and path, labels, class names in its metadata."""
    labels = [(first + row) * 7 % len(published.class_names) for row in range(count)]
    images = [{"bytes": image_bytes(pixels(first + row, 32, 32)), "path": None} for row in range(count)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({column: pa.array(images, kind), published.column: pa.array(labels, pa.int64())})
    listed = str(names or list(published.class_names)).replace("'", '"')
    told = f'{{"info": {{"features": {{"{published.column}": {{"names": {listed}, "_type": "ClassLabel"}}}}}}}}'
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": told}), path, row_group_size=7)
    return labels


def write_python(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch, each: int = 4
) -> tuple[Published, dict[str, tuple[np.ndarray, list[int]]]]:
    """The original python files, pickled as Python 2 did, with `each` images a file; what they hold, by name."""
    base = BY_KIND[kind]
    held, sums = {}, {}
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate((*base.train_files, *base.test_files)):
        data = np.random.default_rng(number).integers(0, 256, (each, 3072), dtype=np.uint8)
        labels = [(number * each + row) % len(base.class_names) for row in range(each)]
        held[name] = (data, labels)
        batch = {"batch_label": f"batch {number}", base.labels_key: labels, "data": data, "filenames": ["x.png"] * each}
        sums[name] = _write(folder / name, pickled_by_python_2(batch))
    (meta,) = base.meta_file
    plain = {"num_cases_per_batch": each, base.names_key: list(base.class_names), "num_vis": 3072}
    sums[meta] = _write(folder / meta, pickled_by_python_2(plain))
    groups = {key: {name: sums[name] for name in getattr(base, key)} for key in ("train_files", "test_files")}
    small = replace(base, **groups, meta_file={meta: sums[meta]})
    monkeypatch.setitem(cifar.BY_KIND, kind, small)
    return small, held


def pickled_by_python_2(value: Any) -> bytes:
    """`value` as Python 2's cPickle wrote it with protocol 2: byte strings, arrays through numpy.core.multiarray."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: Any) -> bytes:
    if isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_opcodes, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_opcodes(key) + _opcodes(inner) for key, inner in value.items()) + b"u"
    assert isinstance(value, np.ndarray)
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(_opcodes(int(size)) for size in value.shape) + b"t"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + _opcodes(value.tobytes()) + b"tb"


def _write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
