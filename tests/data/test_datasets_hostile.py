"""Small files that promise or unpack to gigabytes are refused, each within a second and 200 MB of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.image_files import labelled, write_image
from tests.data.test_datasets_decoding import png

READ_ALL = """
import json, sys, time
import pyarrow.parquet, torch
from PIL import Image
from robustdd.data.read import read
from robustdd.data import decoding
from robustdd.data import parquet_files
from robustdd.data import python_files
from robustdd.data import unpickling
from robustdd.errors import UserError
from robustdd.params import Dataset

def peak():
    # Not getrusage's: a child begins with its parent's.
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

told = {}
for name, kind, path in json.loads(sys.argv[1]):
    before, started = peak(), time.process_time()
    try:
        if kind == "pickle":
            unpickling.load(open(path, "rb").read())
        else:
            read(Dataset(kind=kind, path=path, test_set=False))
        line = "read"
    except UserError as error:
        line = str(error)
    except Exception as error:
        line = f"{type(error).__name__}"
    told[name] = line, peak() - before, time.process_time() - started
print(json.dumps(told))
"""


def _table(root: Path, columns: dict[str, Any]) -> Path:
    labelled(root)
    (root / "labels.csv").unlink()
    pq.write_table(pa.table(columns), root / "labels.parquet", compression="zstd", use_dictionary=False)
    return root


def _promised_rows(root: Path) -> Path:
    """A footer that promises 2 ** 40 rows: its number in Thrift's compact form, and the footer's length with it."""
    path = _table(root, {"id": ["a.png", "b.png", "c.png"], "label": [0, 1, 0]}) / "labels.parquet"
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8]
    # The field of rows stands once: 3 rows, zigzag 6, before the list of row groups.
    assert footer.count(b"\x16\x06\x19") == 1
    number, parts = 2**41, b""
    while number:
        parts += bytes([number & 127 | (128 if number > 127 else 0)])
        number >>= 7
    footer = footer.replace(b"\x16\x06\x19", b"\x16" + parts + b"\x19")
    path.write_bytes(data[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    assert pq.ParquetFile(path).metadata.num_rows == 2**40
    return root


def _image(root: Path, data: bytes) -> Path:
    write_image(root / "cat" / "0.png", 0)
    (root / "dog").mkdir()
    (root / "dog" / "0.png").write_bytes(data)
    return root


def _csv(root: Path, text: str) -> Path:
    return labelled(root, text)


def _pickle(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="NOT TESTED: memory is read from Linux's /proc")
def test_hostile_files_cost_neither_memory_nor_time(tmp_path: Path) -> None:
    long = "x" * 46_000_000
    ids = ["a.png", "b.png", "c.png"]
    hostile = {
        "rows": ("folder", _promised_rows(tmp_path / "rows"), "has 1,099,511,627,776 rows for 3 images"),
        "unpacked": ("folder", _table(tmp_path / "unpacked", {"id": ids, "label": [long] * 3}), "when it is unpacked"),
        "bomb": ("folder", _image(tmp_path / "bomb", png(50_000, 50_000, bytes(1000))), "dog/0.png: is damaged"),
        "large": ("folder", _image(tmp_path / "large", png(9000, 9000)), "9000 x 9000"),
        "commas": ("folder", _csv(tmp_path / "commas", "," * 30_000_000), "line 1 has more than 20,000"),
        "quotes": ("folder", _csv(tmp_path / "quotes", 'id,label\n"' + "a\n" * 10_000_000), "field larger than"),
        "memo": ("pickle", _pickle(tmp_path / "memo", b"\x80\x02Nr\xff\xff\xff\x7f."), "UnpicklingError"),
        "shape": ("pickle", _pickle(tmp_path / "shape", b"\x80\x02\x8d\xff\xff\xff\xff\x7f\0\0\0."), "Error"),
    }
    jobs = json.dumps([(name, kind, str(path)) for name, (kind, path, _) in hostile.items()])
    code = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", READ_ALL, jobs], capture_output=True, text=True, cwd=code, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, (line, grown, seconds) in json.loads(done.stdout).items():
        assert hostile[name][2] in line, (name, line)
        assert line.isprintable() and seconds < 1 and grown < 200 * 2**20, (name, line, grown, seconds)
