"""The whole tiny study twice: other folder, other process, other hash seed, other number of workers, equal bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pipeline import CODE, bits, built_once, environment
from tests.support.studies import CELL, SGR

BUILD = """
import sys
from pathlib import Path
from tests.support.pipeline import run_all
from tests.support.studies import write_study
run_all(write_study(Path(sys.argv[1])), workers=2)
"""


@pytest.fixture(scope="session")
def again(shared: Path) -> Path:
    """The tiny study, built by another process with two workers and another PYTHONHASHSEED."""

    def build(folder: Path) -> None:
        env = environment(shared / "again-home", PYTHONHASHSEED="12345", TZ="Asia/Tokyo", LC_ALL="C")
        subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=CODE, env=env, check=True, capture_output=True)

    return built_once(shared / "again in another folder" / "tiny", build)


def test_every_bit_repeats(built: Path, again: Path) -> None:
    first, second = bits(built), bits(again)
    assert first == second
    kinds = {name.split("/")[0] for name in first}
    assert len(kinds) == 11 and sum(name.endswith(".manifest.json") for name in first) == 44


def test_what_varies_stands_in_the_run_record_alone(built: Path, again: Path) -> None:
    name = f"data/runs/teachers/{SGR}.run.json"
    first, second = (json.loads((folder / name).read_bytes())["units"]["teacher-000"] for folder in (built, again))
    varying = {"started", "seconds"}
    assert {key for key in first if first[key] != second[key]} <= varying and varying <= set(first)
    told = "".join(path.read_text() for path in (again / "data").rglob("*.manifest.json"))
    assert second["started"] not in told and str(again) not in told and second["versions"]["prefect"] not in told
    assert "report.html" in {path.name for path in (again / "data").iterdir()}


def test_only_the_page_the_records_and_the_code_are_left_out(built: Path) -> None:
    data = built / "data"
    everything = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    left_out = everything - set(bits(built))
    told = {str(path.relative_to(data)) for pattern in ("runs/*/*", "code/*") for path in data.glob(pattern)}
    assert left_out == {"report.html", *told}
    assert f"runs/labels/{CELL}.run.json" in left_out
