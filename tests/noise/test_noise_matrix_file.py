"""Transition matrices from files: what is read, and every hostile or mistaken file refused in one line."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustdd.errors import UserError
from robustdd.noise.api import transition_matrix
from robustdd.noise.matrix_file import read_matrix
from robustdd.params import Noise

torch.set_num_threads(1)

ROWS = np.array([[0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])


def as_csv(rows: Any) -> bytes:
    return "".join(",".join(map(repr, map(float, row))) + "\n" for row in rows).encode()


def as_npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def pinned(folder: Path, name: str, data: bytes) -> tuple[Path, str]:
    (folder / name).write_bytes(data)
    return folder / name, hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("noise.csv", as_csv(ROWS)),
        ("noise.CSV", b"\xef\xbb\xbf" + as_csv(ROWS).replace(b"\n", b"\r\n")),
        ("noise.npy", as_npy(ROWS)),
        ("noise.npy", as_npy(np.asfortranarray(ROWS))),
        ("noise.npy", as_npy(ROWS.astype(">f8"))),
    ],
)
def test_a_matrix_is_read_as_it_is_written(tmp_path: Path, name: str, data: bytes) -> None:
    path, sha256 = pinned(tmp_path, name, data)
    assert read_matrix(path, sha256.upper(), 3).tolist() == ROWS.tolist()
    noise = Noise(kind="matrix", matrix_file=name, matrix_sha256=sha256)
    assert transition_matrix(noise, 3, folder=tmp_path).tolist() == ROWS.tolist()


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    path, sha256 = pinned(tmp_path, "noise.npy", as_npy(np.eye(2, dtype=np.int64)))
    assert read_matrix(path, sha256, 2).tolist() == [[1.0, 0.0], [0.0, 1.0]]


PROMISES = as_npy(ROWS).replace(b"(3, 3)", b"(9, 9)")
HOSTILE = {
    "another file": ("noise.csv", as_csv(ROWS), "its sha256 is .*; set matrix_sha256 to it", "0" * 64),
    "name": ("noise.txt", as_csv(ROWS), "ends in .csv or .npy", None),
    "shape": ("noise.csv", as_csv(ROWS[:2]), r"expected 3 x 3 values, got \[2, 3\]", None),
    "shape of npy": ("noise.npy", as_npy(np.eye(4)), r"expected 3 x 3 values, got \[4, 4\]", None),
    "three axes": ("noise.npy", as_npy(np.zeros((3, 3, 1))), r"got \[3, 3, 1\]", None),
    "ragged": ("noise.csv", b"1,0,0\n1,0\n0,0,1\n", "3 rows of different lengths", None),
    "empty": ("noise.csv", b"", "no rows", None),
    "words": ("noise.csv", b"cat,dog\n", "could not convert string to float: 'cat'", None),
    "no text": ("noise.csv", b"\xff\xfe1,0\n", "expected a matrix of numbers", None),
    "empty npy": ("noise.npy", b"", "expected a matrix of numbers", None),
    "cut npy": ("noise.npy", as_npy(ROWS)[:-1], "which is not what follows it", None),
    "longer npy": ("noise.npy", as_npy(ROWS) + b"\0", "which is not what follows it", None),
    "too much promised": ("noise.npy", PROMISES, "which is not what follows it", None),
    "terabytes promised": (
        "noise.npy",
        as_npy(ROWS).replace(b"(3, 3), }      ", b"(1099511627776,)"),
        "which is not what follows it|expected a matrix of numbers",
        None,
    ),
    "trillions promised": (
        "noise.npy",
        as_npy(ROWS).replace(b"(3, 3), }          ", b"(3, 366503875925),}"),
        r"float64 \[3, 366503875925\], which is not what follows it",
        None,
    ),
    "objects": ("noise.npy", as_npy(np.array([[{}]], dtype=object), allow_pickle=True), "a header that tells", None),
    "complex": ("noise.npy", as_npy(ROWS.astype(complex)), "complex128", None),
    "text array": ("noise.npy", as_npy(np.array([["a"]])), "a header that tells <U1", None),
    "other version": ("noise.npy", b"\x93NUMPY\x03\x00" + as_npy(ROWS)[8:], "not of npy version 1.0", None),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_such_matrix_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    name, data, message, sha256 = HOSTILE[case]
    path, found = pinned(tmp_path, name, data)
    with pytest.raises(UserError, match=message) as caught:
        read_matrix(path, sha256 or found, 3)
    assert str(caught.value).isprintable()


def test_nan_and_rows_that_do_not_sum_to_one_are_refused(tmp_path: Path) -> None:
    for rows, message in ((ROWS * 2, "sum to 1, got sum 2 in row 0"), (np.full((3, 3), np.nan), "got sum nan")):
        _, sha256 = pinned(tmp_path, "noise.npy", as_npy(rows))
        with pytest.raises(UserError, match=message):
            transition_matrix(Noise(kind="matrix", matrix_file="noise.npy", matrix_sha256=sha256), 3, folder=tmp_path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_matrix(path, "0" * 64, 3)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".npy"]), head=st.booleans())
def test_no_bytes_raise_anything_else(tmp_path: Path, data: bytes, suffix: str, head: bool) -> None:
    path, sha256 = pinned(tmp_path, f"noise{suffix}", (as_npy(ROWS)[:40] if head else b"") + data)
    try:
        assert read_matrix(path, sha256, 3).shape == (3, 3)
    except UserError as error:
        assert str(error).isprintable()
