"""A transition matrix from a file: CSV or NumPy's npy, pinned by its sha256, nothing unpickled."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robustdd.errors import UserError

_MAX_BYTES = 64 * 2**20
"""A thousand classes need 8 MB as npy and at most about 25 MB as CSV."""


def read_matrix(path: Path, sha256: str, classes: int) -> Tensor:
    """The transition matrix in `path`, float64 [classes, classes], rows clean, columns observed.

    A `.csv` has one line a row, values between commas and no header; an `.npy` is what numpy.save writes of a matrix of
    real numbers. Raises UserError for another file than that of `sha256`, another shape, or what is no such matrix;
    that the rows hold shares is not checked here.
    """
    data = _pinned_bytes(path, sha256)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"noise matrix_file {path}: expected a name that ends in .csv or .npy")
    try:
        values = reader(data)
    except Exception as error:  # numpy's parser of headers raises what Python's tokenizer does
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"noise matrix_file {path}: expected a matrix of numbers ({reason})") from error
    if values.shape != (classes, classes):
        raise UserError(f"noise matrix_file {path}: expected {classes} x {classes} values, got {list(values.shape)}")
    return torch.from_numpy(values)


def _pinned_bytes(path: Path, sha256: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"noise matrix_file {path}: cannot be read ({error.strerror})") from error
    if len(data) > _MAX_BYTES:
        raise UserError(f"noise matrix_file {path}: is larger than {_MAX_BYTES // 2**20} MB")
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise UserError(f"noise matrix_file {path}: its sha256 is {found}; set matrix_sha256 to it if that is right")
    return data


def _read_csv(data: bytes) -> np.ndarray:
    rows = [[float(value) for value in line.split(",")] for line in data.decode("utf-8-sig").splitlines() if line]
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"{len(rows)} rows of different lengths" if rows else "no rows")
    return np.array(rows, dtype=np.float64)


def _read_npy(data: bytes) -> np.ndarray:
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not of npy version 1.0")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    # Before the array is made: a header may promise any size, and an array of objects would be unpickled.
    if dtype.kind not in "fiu" or int(np.prod(shape, dtype=object)) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f"a header that tells {dtype} {list(shape)[:4]}, which is not what follows it")
    values: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False).astype(np.float64)
    return values


_READERS = {".csv": _read_csv, ".npy": _read_npy}
