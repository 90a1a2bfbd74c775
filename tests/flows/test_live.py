"""Stages under a Prefect server: the same bytes and counts as without one, and what the UI has to show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from robustdd.study.graph import STAGES
from tests.support.live_server import ask, flow_runs, live_server, logs, settled
from tests.support.pipeline import CODE, Ran, bits, environment, executed, flip, run_all, stages
from tests.support.studies import CELL, SGR, tiny_study, write_study

pytestmark = pytest.mark.enable_socket

SELECTED = f"{SGR}-selected-ipc1-s0"
FEW = ("images", "labels", "forgetting", "teachers", "distill")


def small_study(name: str) -> dict[str, Any]:
    """The tiny study with one view and one row."""
    params = tiny_study()
    params["name"] = name
    params["views"] = {SGR: params["views"][SGR]}
    params["rows"] = {SELECTED: params["rows"][SELECTED]}
    params["grid"]["finetune"] = []
    return params


@pytest.fixture(scope="module")
def server(shared: Path) -> str:
    return live_server(shared / "server")


def live(folder: Path, server: str, home: Path, places: list[str]) -> dict[str, list[tuple[str, bool]]]:
    """Stages of a study under the server: unit and whether it was cached."""
    env = environment(home, PREFECT_API_URL=server, PREFECT_LOGGING_TO_API_BATCH_INTERVAL="0.2")
    command = [sys.executable, "-m", "tests.support.live_stages", str(folder), *places]
    done = subprocess.run(command, cwd=CODE, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr and "no Prefect server" not in done.stderr, done.stderr
    return {place: [(unit, cached) for unit, cached in units] for place, units in json.loads(done.stdout).items()}


def counts(ran: Ran) -> dict[str, list[tuple[str, bool]]]:
    return {f"{stage}:{ident}": [(one.unit, one.cached) for one in units] for (stage, ident), units in ran.items()}


def compare(server: str, folder: Path, params: dict[str, Any], kinds: tuple[str, ...]) -> None:
    direct = write_study(folder / "direct" / "small", params)
    ran = run_all(direct, but=[stage for stage in STAGES if stage not in kinds])
    own = write_study(folder / "live" / "small", params)
    places = [f"{stage}:{ident}" for stage, ident in stages(own) if stage in kinds]
    first = live(own, server, folder / "first", places)
    assert first == counts(ran) and len(executed(ran)) == sum(map(len, first.values()))
    assert bits(own) == bits(direct)
    began = flow_runs(server, params["name"])
    states = {one["name"]: one["state_name"] for one in began}
    assert len(began) == len(places) and set(states.values()) == {"Completed"}, states

    again = live(own, server, folder / "empty", places)
    assert again == {place: [(unit, True) for unit, _ in units] for place, units in first.items()}
    assert bits(own) == bits(direct)
    second = flow_runs(server, params["name"])[len(began) :]
    assert len(second) == len(began)
    tasks = [task for run in second for task in settled(server, run["id"], len(again[_place(run)]))]
    assert len(tasks) == sum(map(len, again.values()))
    assert {task["state_name"] for task in tasks} == {"Cached"}

    flip(own / "data/teachers" / SGR / "teacher-001.safetensors")
    place = f"teachers:{SGR}"
    assert live(own, server, folder / "first", [place]) == {place: [("teacher-000", True), ("teacher-001", False)]}
    assert bits(own) == bits(direct)


def test_live_runs_are_as_direct_ones_and_the_ui_names_them_right(server: str, tmp_path: Path) -> None:
    compare(server, tmp_path, small_study("small"), FEW)
    (run,) = (one for one in flow_runs(server, "small")[: len(FEW)] if "stage:forgetting" in one["tags"])
    assert run["name"] == f"forgetting {CELL}: digits, symmetric-0.4"
    tags = dict(tag.split(":", 1) for tag in run["tags"])
    assert tags.pop("commit")
    known = {"study": "small", "stage": "forgetting", "id": CELL}
    assert tags == {**known, "dataset": "digits", "noise": "symmetric-0.4"}
    tasks = settled(server, run["id"], 3)
    units = ("half-s0-ab", "half-s0-ba", "forgetting")
    assert {task["name"] for task in tasks} == {f"{unit}: digits, symmetric-0.4" for unit in units}
    assert all(set(run["tags"]) <= set(task["tags"]) for task in tasks)
    assert ask(server, f"flows/{run['flow_id']}")["name"] == "forgetting"
    assert any(line.startswith("Beginning flow run") for line in logs(server, run["id"]))


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_so_it_is_with_every_stage(server: str, tmp_path: Path) -> None:
    compare(server, tmp_path, {**tiny_study(), "name": "every"}, STAGES)


def _place(run: dict[str, Any]) -> str:
    tags = dict(tag.split(":", 1) for tag in run["tags"])
    return f"{tags['stage']}:{tags['id']}"
