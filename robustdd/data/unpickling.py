"""Pickles of plain values and arrays of bytes, read without importing or calling anything that they name."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

_MEMO = 1_000_000


def load(data: bytes) -> Any:
    """The dicts, lists, texts, numbers and uint8 arrays in the pickle `data`; texts of Python 2 stay bytes.

    Raises UnpicklingError for any other class or function, or another exception for damaged bytes.
    """
    _check_memo(data)
    value = _Loader(io.BytesIO(data), encoding="bytes").load()
    return _arrays(value)


def _check_memo(data: bytes) -> None:
    """Refuse large numbers of memo places: the unpickler makes room for all below one before it looks at anything."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > _MEMO:
            raise pickle.UnpicklingError(f"memo place {argument} is too large")


class _Loader(pickle.Unpickler):
    """An unpickler to which the names of NumPy mean stand-ins of this module, and all other names nothing."""

    def find_class(self, module: str, name: str) -> Any:
        made = _STAND_INS.get(f"{module}.{name}")
        if made is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        # A fresh one each time: a pickle can set attributes of what it is given.
        return made()

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("persistent ids are not allowed")


class _Name:
    """Stands for a class that is only named."""

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("a class takes no state")


class _Dtype:
    """Stands for numpy.dtype: called with a code, it remembers it."""

    code: object = None

    def __call__(self, code: object, *_: object) -> _Dtype:
        made = _Dtype()
        made.code = code
        return made

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment, which bytes do not have."""


class _Rebuild(_Name):
    """Stands for the function that makes an empty array, to be filled with a state."""

    def __call__(self, *_: object) -> _Array:
        return _Array()


class _Array:
    """Stands for an array until its state is known."""

    values: NDArray[np.uint8] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, by_column, raw = state
        code = dtype.code if isinstance(dtype, _Dtype) else None
        if code not in (b"u1", "u1") or by_column or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("expected an array of bytes, row by row")
        if not all(type(size) is int and size >= 0 for size in shape) or math.prod(shape) != len(raw):
            raise pickle.UnpicklingError("the array has another size than its bytes")
        self.values = np.frombuffer(raw, dtype=np.uint8).reshape(shape)


_STAND_INS: dict[str, Callable[[], object]] = {
    "numpy.core.multiarray._reconstruct": _Rebuild,
    "numpy._core.multiarray._reconstruct": _Rebuild,
    "numpy.ndarray": _Name,
    "numpy.dtype": _Dtype,
}


def _arrays(value: Any) -> Any:
    """`value`, a dict, with its keys as text and its stand-ins as arrays."""
    if not isinstance(value, dict):
        raise pickle.UnpicklingError(f"expected a dict, found {type(value).__name__}")
    return {_text(key): inner.values if isinstance(inner, _Array) else inner for key, inner in value.items()}


def _text(key: Any) -> Any:
    return key.decode("latin1") if isinstance(key, bytes) else key
