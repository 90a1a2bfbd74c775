"""`make soak` runs the long tests alone and leaves a record of them; `make test` leaves them out."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.pipeline import CODE, environment

TESTS = """
import pytest

def test_short(): raise AssertionError("not asked for")

@pytest.mark.soak
def test_long(record_property): record_property("rows", 7)

@pytest.mark.soak
def test_wrong(): assert False

@pytest.mark.soak
@pytest.mark.skip(reason="no GPU")
def test_elsewhere(): pass
"""
PLUGIN = """
from pathlib import Path
from tests.support.soak_record import SoakRecord

def pytest_configure(config):
    config.pluginmanager.register(SoakRecord(Path(__file__).with_name("soak.json")))
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_some.py").write_text(TESTS)
    (folder / "conftest.py").write_text(PLUGIN)
    command = (sys.executable, "-m", "pytest", "-q", "-c", str(CODE / "pyproject.toml"), "--rootdir", str(folder))
    env = environment(folder / "home")
    return subprocess.run(
        (*command, *arguments, "-p", "no:cacheprovider", str(folder)),
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("processes", [0, 2])
def test_the_record_tells_every_long_test_and_no_other(tmp_path: Path, processes: int) -> None:
    done = pytest_in(tmp_path, "-m", "soak", "-n", str(processes))
    assert done.returncode == 1, done.stdout + done.stderr
    record = json.loads((tmp_path / "soak.json").read_text())
    assert record["outcome"] == "failed" and record["counts"] == {"failed": 1, "passed": 1, "skipped": 1}
    outcomes = {name.rpartition("::")[2]: found["outcome"] for name, found in record["tests"].items()}
    assert outcomes == {"test_long": "passed", "test_wrong": "failed", "test_elsewhere": "skipped"}
    assert [found["rows"] for found in record["tests"].values() if "rows" in found] == [7]
    assert record["seconds"] >= 0 and len(record["date"]) == 25 and record["commit"]


def test_a_long_test_runs_only_when_asked_for() -> None:
    options = tomllib.loads((CODE / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    rules = (CODE / "Makefile").read_text()
    assert "-m 'not soak'" in options
    assert "pytest -q -m soak --timeout=3600 -p tests.support.soak_record" in rules and rules.count("-m soak") == 1
