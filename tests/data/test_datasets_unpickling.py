"""Pickles: what CIFAR's files hold is read, nothing that a pickle names is ever imported or called."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.data.unpickling import load
from tests.data.image_files import pickled_by_python_2

ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)
GOOD = pickled_by_python_2({"data": ARRAY, "labels": [1, 2, 300], "batch_label": "x" * 300})


def test_what_python_2_wrote_is_read() -> None:
    found = load(GOOD)
    assert np.array_equal(found["data"], ARRAY)
    assert found["labels"] == [1, 2, 300]
    assert found["batch_label"] == b"x" * 300


@pytest.mark.parametrize("protocol", [3, 4])
def test_what_python_3_writes_is_read_too(protocol: int) -> None:
    found = load(pickle.dumps({"data": ARRAY, "labels": [1]}, protocol))
    assert np.array_equal(found["data"], ARRAY)
    assert found["labels"] == [1]


class Canary:
    """Unpickled as it asks to be, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_hostile_pickle_does_nothing(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    data = pickle.dumps({"data": Canary(canary)}, protocol)
    with pytest.raises(pickle.UnpicklingError, match="system is not allowed"):
        load(data)
    assert not canary.exists()
    pickle.loads(data)
    assert canary.exists(), "the pickle of this test is not hostile"


def test_what_is_none_of_plain_values_and_bytes_is_refused() -> None:
    for value in ([1], OrderedDict(a=1), {"data": np.zeros(3)}, {"data": np.array([None, "x"])}, {"a": {1j}}):
        with pytest.raises(pickle.UnpicklingError):
            load(pickle.dumps(value, 3))


HEAD = b"\x80\x02}(U\x04data"
REBUILD = b"cnumpy.core.multiarray\n_reconstruct\n"
MADE = REBUILD + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
DTYPE = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"


@pytest.mark.parametrize(
    "inside",
    [
        # A state for the stand-ins themselves, which would outlive the call if they were shared.
        REBUILD + b"}U\x08__call__K\x05sb",
        REBUILD + b"N}U\x0c__setstate__K\x05s\x86b",
        b"cnumpy\nndarray\n}U\x0c__setstate__K\x05sb",
        b"cnumpy\nndarray\n)\x81",
        b"cnumpy\nndarray\n)R",
        # Sizes that the bytes do not bear out, a wrong type, an array instead of bytes.
        MADE + b"(K\x01J\xff\xff\xff\x7f\x85" + DTYPE + b"\x89U\x04abcdtb",
        MADE + b"(K\x01J\xff\xff\xff\xff\x85" + DTYPE + b"\x89U\x04abcdtb",
        MADE + b"(K\x01K\x04\x85K\x07\x89U\x04abcdtb",
        MADE + b"(K\x01K\x04\x85" + DTYPE + b"\x89](K\x01etb",
        MADE + b"Nb",
        b"P0\n",
        # A place in the memo that would take 32 GiB.
        b"Nr\xff\xff\xff\x7f",
        b"Np2147483647\n",
    ],
)
def test_tricks_with_the_stand_ins_are_refused_and_leave_no_trace(inside: bytes) -> None:
    with pytest.raises(Exception):  # noqa: B017 - whatever it is, the reader tells it in one line
        load(HEAD + inside + b"u.")
    assert np.array_equal(load(GOOD)["data"], ARRAY)


SPLICES = st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.binary(max_size=8))


@settings(deadline=1000, max_examples=300)
@given(st.lists(SPLICES, min_size=1, max_size=4))
def test_damaged_pickles_give_a_dict_or_an_exception(splices: list[tuple[int, int, bytes]]) -> None:
    data = GOOD
    for place, cut, new in splices:
        data = data[:place] + new + data[place + cut :]
    try:
        found = load(data)
    except Exception as error:
        assert str(error) is not None
    else:
        assert isinstance(found, dict)
