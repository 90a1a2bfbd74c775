"""A data set lies in memory once as bytes, and once as floats where a stage needs them: never twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robustdd.data.whitening import fit
from tasks.files import parquet
from tests.data.image_files import image_bytes

MEGA = 2**20
PEAK = """
import sys
from pathlib import Path
def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
"""
READ = """
from robustdd.data.read import open_source
from robustdd.data import decoding
from robustdd.params import Dataset
source = open_source(Dataset(kind="folder", path=sys.argv[1], test_set=False))
before = peak()
images = source.train().images
print(peak() - before, images.numel())
"""
WHITEN = """
from robustdd.data import lazy_images as pixels
pixels.FLOAT_BYTES = int(sys.argv[2])
from tasks.cache.layout import Layout
from tasks.files import training_images
from tasks.cache.unit import Input, Unit
inputs = {name: Input(Path(sys.argv[1]), name) for name in ("train", "labels", "whitening")}
unit = Unit("x", Layout(Path(sys.argv[1])).place("x", "y"), "x", {"device": "cpu"}, inputs)
before = peak()
images = training_images(unit).images
print(peak() - before, images.shape.numel())
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="NOT TESTED: memory is read from Linux's /proc"
)


def grown(code: str, folder: Path, *arguments: object) -> tuple[int, int]:
    """Bytes by which the peak of a fresh process grows over its imports, and the number of values it made."""
    root = Path(__file__).resolve().parents[2]
    command = (sys.executable, "-c", PEAK + code, str(folder), *map(str, arguments))
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    growth, values = map(int, done.stdout.split())
    return growth, values


def test_images_are_read_without_a_second_copy(tmp_path: Path) -> None:
    data = image_bytes(np.zeros((400, 400, 3), np.uint8))
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(150):
            (tmp_path / name / f"{number}.png").write_bytes(data)
    growth, values = grown(READ, tmp_path)
    assert values == 300 * 400 * 400 * 3
    assert values < growth < values * 1.25 + 20 * MEGA


@pytest.fixture(scope="module")
def thirty_thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of a unit with 30,000 training images of 32 x 32 pixels."""
    tmp_path = tmp_path_factory.mktemp("many")
    images = torch.randint(256, (30_000, 3, 32, 32), dtype=torch.uint8)
    save_file({"images": images}, tmp_path / "train.safetensors")
    save_file(fit(images[:100], "standard", 0.0).tensors(), tmp_path / "whitening.safetensors")
    labels = torch.zeros(len(images), dtype=torch.int64)
    marks = {"holdout": labels == 1, "used": labels != 1}
    columns = {"id": [str(row) for row in range(len(images))], "observed": labels, **marks}
    (tmp_path / "labels.parquet").write_bytes(parquet(**columns))
    return tmp_path


def test_a_stage_holds_the_training_images_once_as_floats(thirty_thousand: Path) -> None:
    growth, values = grown(WHITEN, thirty_thousand, 2**40)
    assert values == 30_000 * 3 * 32 * 32
    # Floats once, bytes as they lie in the file and again without the hold-out; a second float copy would be 4 more.
    assert 4 * values < growth < 7 * values


def test_images_whose_floats_would_be_too_many_stay_bytes(thirty_thousand: Path) -> None:
    growth, values = grown(WHITEN, thirty_thousand, 4 * 30_000 * 3 * 32 * 32 - 1)
    # Bytes as they lie in the file and again without the hold-out, and not one float of each.
    assert growth < 3 * values
