"""A full, read-only or limited disk: one line with what is needed, and the old artifact intact."""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robustdd.errors import RobustddError
from robustdd.store.artifacts import publish, writable, write_atomically
from tests.store.disks import tiny_disk
from tests.store.test_artifacts import FIELDS, NEW, OLD, content, names


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    with tiny_disk(tmp_path / "tiny") as place:
        yield place


def _tensors(path: Path) -> None:
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"a": zeros(100_000)}, path)


def _table(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [number * 0.1 for number in range(30_000)]}), path)


FULL = r"^No space left on device: needs .*[\d.]+ MB.* in .*tiny; free some space there and run again"


@pytest.mark.parametrize("large", [b"x" * 2_000_000, _tensors, _table], ids=["bytes", "safetensors", "parquet"])
def test_a_full_disk_is_told_in_one_line(tiny: Path, large: Any) -> None:
    publish(tiny, "labels", OLD, **FIELDS)
    with pytest.raises(RobustddError, match=FULL) as caught:
        publish(tiny, "labels", {"a.bin": large, "c.bin": b"new"}, **FIELDS)
    size = "needs ~2.0 MB" if isinstance(large, bytes) else "needs more than the 0.0"
    assert str(caught.value).isprintable() and size in str(caught.value)
    assert content(tiny) == OLD and names(tiny) == sorted([*OLD, "labels.manifest.json"])


def test_a_full_disk_is_told_by_the_other_writers(tiny: Path) -> None:
    write_atomically(tiny / "x", b"old")
    with pytest.raises(RobustddError, match=r"needs ~0\.1 MB"):
        write_atomically(tiny / "x", b"n" * 100_000)
    assert (tiny / "x").read_bytes() == b"old" and names(tiny) == ["x"]
    writable(tiny, needed=10_000)
    with pytest.raises(RobustddError, match=r"needs ~120\.0 MB"):
        writable(tiny, needed=120_000_000)


def test_a_read_only_disk_is_told_before_any_work(tiny: Path) -> None:
    publish(tiny, "labels", OLD, **FIELDS)
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    with pytest.raises(RobustddError, match=r"^cannot write in .*tiny: Read-only file system; make"):
        writable(tiny)
    with pytest.raises(RobustddError, match="Read-only file system"):
        publish(tiny, "labels", NEW, **FIELDS)
    assert content(tiny) == OLD


def test_a_file_size_limit_is_told_as_a_full_disk(tmp_path: Path) -> None:
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    publish(tmp_path, "labels", OLD, **FIELDS)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        with pytest.raises(RobustddError, match=r"No space left on device: needs ~0.2 MB in .* \(File too large\)"):
            publish(tmp_path, "labels", {"a.bin": b"x" * 200_000}, **FIELDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert content(tmp_path) == OLD


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RobustddError, match="cannot write in"):
        writable(tmp_path / "file")
    with pytest.raises(RobustddError, match="cannot write in"):
        writable(tmp_path / "file" / "below")
    writable(tmp_path / "new" / "below")
    assert names(tmp_path / "new" / "below") == []
