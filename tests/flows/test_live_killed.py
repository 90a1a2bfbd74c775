"""Workers and stages that are killed under a Prefect server: as without one, and the UI tells what became of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tasks.cache.layout import Layout
from tests.flows.test_live_interrupted import name_study, server
from tests.flows.test_runners_killed import GONE_SECONDS, TEACHERS, flags, keep_the_first, trained, untrained
from tests.support.live_server import flow_runs, settled
from tests.support.pipeline import bits, call, environment, names, run
from tests.support.stage_processes import begun as in_the_making
from tests.support.stage_processes import both_at_work, family, gone, importable, kill, kill_twice, until, working
from tests.support.studies import PLAIN

__all__ = ["server", "trained", "untrained"]

pytestmark = [pytest.mark.enable_socket, pytest.mark.soak]

RUNNERS = ["processes", "dask", "ray"]


def live(folder: Path, server: str, name: str) -> dict[str, str]:
    """The environment of a stage under the server; its study gets a name of its own, to be found by."""
    name_study(folder, name)
    return environment(folder.parent / "home", PREFECT_API_URL=server, PREFECT_LOGGING_TO_API_BATCH_INTERVAL="0.2")


def states(server: str, name: str, tasks: int) -> tuple[list[str], list[dict[str, Any]]]:
    """The states of the study's flow runs, and the task runs of the last."""
    runs = flow_runs(server, name)
    return [one["state_name"] for one in runs], settled(server, runs[-1]["id"], tasks)


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_task_of_a_killed_worker_is_tried_once_more(
    server: str, untrained: Path, trained: Path, runner: str
) -> None:
    importable(runner)
    name = f"worker-{runner}"
    with in_the_making(untrained, *flags(runner), env=live(untrained, server, name)) as stage:
        until(both_at_work(untrained))
        before = working(stage.pid, runner)
        assert len(before) == 2
        kill(before[0])
        assert stage.wait(180) == 0
        said = stage.stderr.read() if stage.stderr else ""
    assert f"teachers {PLAIN}: 2 executed, 0 cached" in said and "Traceback" not in said
    assert bits(untrained, TEACHERS) == bits(trained, TEACHERS) and gone(before)
    flows, tasks = states(server, name, 2)
    assert flows == ["Completed"] and [task["state_name"] for task in tasks] == ["Completed"] * 2


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_task_whose_workers_die_again_ends_the_stage_in_one_line(
    server: str, untrained: Path, trained: Path, runner: str
) -> None:
    importable(runner)
    name = f"twice-{runner}"
    keep_the_first(trained, untrained)
    with in_the_making(untrained, *flags(runner, 1), env=live(untrained, server, name)) as stage:
        kill_twice(stage, untrained, runner)
        assert stage.wait(120) == 1
        said = stage.stderr.read() if stage.stderr else ""
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: teachers {PLAIN} teacher-001: its worker process died, and again when ")
    assert "Traceback" not in said
    flows, tasks = states(server, name, 2)
    assert flows == ["Failed"] and not Layout(untrained).flow_runs("teachers", PLAIN).exists()
    assert {task["name"].split(":")[0]: task["state_name"] for task in tasks} == {
        "teacher-000": "Cached",
        "teacher-001": "Crashed",
    }
    assert names(run(untrained, "teachers", PLAIN)) == ["teacher-001"]
    assert bits(untrained, TEACHERS) == bits(trained, TEACHERS)


@pytest.mark.parametrize("runner", RUNNERS)
def test_nothing_outlives_a_killed_stage_and_its_run_is_marked_at_the_next_start(
    server: str, untrained: Path, trained: Path, runner: str
) -> None:
    importable(runner)
    name = f"parent-{runner}"
    env = live(untrained, server, name)
    with in_the_making(untrained, *flags(runner), env=env) as stage:
        until(both_at_work(untrained))
        left = family(stage.pid)
        os.kill(stage.pid, signal.SIGKILL)
        stage.wait()
        until(lambda: gone(left), GONE_SECONDS)
    assert [one["state_name"] for one in flow_runs(server, name)] == ["Running"], "nobody told the server"
    done = call(untrained, *flags("threads"), env=env)
    assert done.returncode == 0 and f"teachers {PLAIN}: 2 executed, 0 cached" in done.stderr, done.stderr
    assert "an earlier run had died; it is marked Crashed" in done.stderr
    first, second = flow_runs(server, name)
    assert (first["state_name"], second["state_name"]) == ("Crashed", "Completed")
    assert {task["state_name"] for task in settled(server, first["id"], 2)} == {"Crashed"}
    assert bits(untrained, TEACHERS) == bits(trained, TEACHERS)
