"""A whole study in one command: the order, the workers, what a failure takes with it, and what DVC then finds."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.reproduce import Progress, run_all
from robustdd.errors import RobustddError
from robustdd.study.graph import Place, needs
from robustdd.study.load import load_study
from tasks.cache.cache import Outcome
from tests.flows.test_dvc_repro import FILE, small_study
from tests.support.dvc_project import STUDY, dvc, make_project, project_environment
from tests.support.pipeline import all_units, bits, environment, stages
from tests.support.studies import CELL, SGR, tiny_study, write_study


def test_the_table_of_needs_is_what_the_units_read(built: Path) -> None:
    table = needs(load_study(built))
    assert set(table) == set(stages(built))
    before: set[Place] = set()
    for place, made in all_units(built).items():
        read = {(needed.folder.parent.name, needed.folder.name) for unit in made for needed in unit.inputs.values()}
        known = set(table[place])
        while more := {other for one in known for other in table[one]} - known:
            known |= more
        assert read - {place} <= known, place
    for place, needed in table.items():
        assert needed <= before, f"{place} stands before what it needs"
        before.add(place)


class Stages:
    """Stands for the stages of a study: each takes a moment, and some fail."""

    def __init__(self, *failing: Place) -> None:
        self.failing, self.lock = failing, threading.Lock()
        self.shares: dict[Place, int] = {}
        self.at_work: set[Place] = set()
        self.most = self.together = 0
        self.over: list[Place] = []

    def __call__(self, place: Place, share: int) -> list[Outcome]:
        with self.lock:
            self.shares[place] = share
            self.at_work.add(place)
            self.most = max(self.most, sum(self.shares[one] for one in self.at_work))
            self.together = max(self.together, len(self.at_work))
        time.sleep(0.02)
        with self.lock:
            self.at_work.discard(place)
            self.over.append(place)
        if place in self.failing:
            raise RobustddError(f"{place[0]} {place[1]}: fails")
        return [Outcome("one", False, {})]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_stages_run_in_order_and_within_the_workers(built: Path, workers: int) -> None:
    table, ran, progress = needs(load_study(built)), Stages(), Progress()
    run_all(table, lambda place: 2 if place[0] == "teachers" else 1, workers, ran, progress)
    assert set(progress.done) == set(table) and ran.most <= workers
    assert ran.together > 1 or workers == 1
    for index, place in enumerate(ran.over):
        assert table[place] <= set(ran.over[:index])
    assert all(share <= (2 if place[0] == "teachers" else 1) for place, share in ran.shares.items())
    run_all(table, lambda place: 1, workers, Stages(*table), progress)
    assert progress.failed == {}, "what is done is not run again"


def test_a_failure_takes_those_with_it_that_need_it_and_no_other(built: Path) -> None:
    table, progress = needs(load_study(built)), Progress()
    run_all(table, lambda place: 1, 2, Stages(("teachers", SGR)), progress)
    assert list(progress.failed) == [("teachers", SGR)]
    rows = {ident for ident, row in tiny_study()["rows"].items() if row["view"] == SGR}
    expected = {("consistency", SGR), ("subset", SGR), ("finetune", SGR), ("report", "tiny")}
    assert set(progress.not_run) == expected | {(stage, row) for stage in ("distill", "evaluate") for row in rows}
    assert set(progress.done) == set(table) - set(progress.failed) - set(progress.not_run)


def reproduce(folder: Path, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "flows.reproduce", *arguments)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=280, check=False)


def test_a_failing_stage_is_one_line_and_the_others_are_finished(tmp_path: Path, built: Path) -> None:
    params = tiny_study()
    params["teachers"]["learning_rate"] = 1e30
    params["rows"] = {f"{CELL}-random-ipc1-s0": params["rows"][f"{CELL}-random-ipc1-s0"]}
    params["grid"] = {"forgetting": [CELL], "reliability": [], "finetune": [], "full": [CELL]}
    write_study(tmp_path / "study", params)
    done = reproduce(tmp_path, "study", "--workers", "2", env=environment(tmp_path / "home"))
    assert done.returncode == 1 and "Traceback" not in done.stderr and done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 5 and all("finite" in line for line in errors[:2])
    row = f"{CELL}-random-ipc1-s0"
    expected = [("distill", row, "teachers"), ("evaluate", row, "distill"), ("report", "tiny", "distill")]
    for line, (stage, ident, lost) in zip(errors[2:], expected, strict=True):
        assert line.startswith(f"error: {stage} {ident}: not run, for {lost} ")
    assert bits(tmp_path / "study", "train-full") == bits(built, "train-full")


@pytest.mark.timeout(600)
def test_dvc_finds_everything_cached_and_commits_it(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", small_study())
    done = reproduce(project, STUDY, "--workers", "2", env=project_environment(project))
    assert done.returncode == 0, done.stderr
    assert f"{STUDY}: 13 stages, " in done.stderr and ", 0 cached, " in done.stderr
    before = bits(project / STUDY)
    said = dvc(project, "repro", "--single-item", f"{FILE}:teachers@{SGR}")
    assert f"teachers {SGR}: 0 executed, 2 cached" in said
    dvc(project, "commit", "--force", FILE)
    said = dvc(project, "repro", FILE)
    assert "Data and pipelines are up to date." in said and "Running stage" not in said
    assert bits(project / STUDY) == before


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_dvc_repro_executes_nothing_after_it(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", small_study())
    assert reproduce(project, STUDY, "--runner", "processes", env=project_environment(project)).returncode == 0
    before = bits(project / STUDY)
    said = dvc(project, "repro", FILE)
    assert said.count(": 0 executed, ") == 13 and "executed, 0 cached" not in said
    assert bits(project / STUDY) == before
