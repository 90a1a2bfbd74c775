"""Runs that are cancelled, killed or lose their server: the artifacts do not care, and the UI tells the truth."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.cache.layout import Layout
from tests.support.live_server import artifacts, ask, flow_runs, live_server, logs, settled, task_runs, wait_for
from tests.support.pipeline import CODE, bits, built_once, call, environment, run_all
from tests.support.studies import CELL, SGR, tiny_study, write_study

pytestmark = pytest.mark.enable_socket

OURS = f"{CELL}-ours-ipc1-s0"
STEPS = 150


def long_study() -> dict[str, object]:
    """A study whose distillation takes some seconds, with a noisy hold-out."""
    params = tiny_study()
    params["datasets"]["digits"]["holdout"] = 0.2
    params["views"] = {SGR: params["views"][SGR]}
    params["rows"] = {OURS: params["rows"][OURS]}
    params["recipes"]["tiny"] |= {"iterations": STEPS, "inner_steps": 10, "save_every": 50, "checkpoint_every": 4}
    return params


@pytest.fixture(scope="session")
def long(shared: Path) -> Path:
    """The long study, run without a server; read only."""
    but = ("evaluate", "report", "train-full")
    params = long_study()
    return built_once(shared / "long" / "tiny", lambda folder: bool(run_all(write_study(folder, params), but)))


@pytest.fixture
def begun(long: Path, tmp_path: Path) -> Path:
    """A copy of it that lacks what `distill` makes."""
    folder = Path(shutil.copytree(long, tmp_path / "study"))
    shutil.rmtree(folder / "data/distill")
    return folder


@pytest.fixture(scope="session")
def server(shared: Path) -> str:
    return live_server(shared / "server")


class Stage:
    """`distill` in the making, in a process of its own."""

    def __init__(self, folder: Path, home: Path, **more: str) -> None:
        self.folder, self.output = folder, home.parent / "output"
        command = [sys.executable, "-m", "flows.stage", "distill", OURS]
        env = environment(home, PREFECT_LOGGING_TO_API_BATCH_INTERVAL="0.2", **more)
        with self.output.open("w") as output:
            self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)

    def wait_for_step(self) -> None:
        folder = self.folder / ".robustdd/checkpoints/distill" / OURS / "distilled"
        wait_for(lambda: list(folder.glob("step-*")) or self.process.poll() is not None)
        assert self.process.poll() is None, self.output.read_text()

    def end(self, seconds: float = 60) -> tuple[int, list[str]]:
        code = self.process.wait(seconds)
        return code, self.output.read_text().splitlines()


@pytest.fixture
def stages() -> Iterator[list[Stage]]:
    started: list[Stage] = []
    yield started
    for stage in started:
        stage.process.kill()
        stage.process.wait()


def name_study(folder: Path, name: str) -> None:
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text().replace("name: tiny", f"name: {name}"))


def goes_on_and_is_the_same(folder: Path, long: Path, home: Path) -> None:
    """The next run, without a server, says from where it goes on, and ends with the bytes of one that ran through."""
    done = call(folder, "distill", OURS, env=environment(home))
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "goes on from step" in line)
    assert 0 < int(line.split("step ")[1].split(",")[0]) < STEPS
    assert bits(folder) == bits(long)
    assert not list((folder / ".robustdd").rglob("step-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_a_signal_saves_a_checkpoint_and_ends_in_one_line(
    begun: Path, long: Path, tmp_path: Path, stages: list[Stage], number: signal.Signals
) -> None:
    stages.append(stage := Stage(begun, tmp_path / "home"))
    stage.wait_for_step()
    stage.process.send_signal(number)
    code, lines = stage.end(20)
    assert code == 128 + number
    assert lines[-1].startswith("error: distilled: stopped after step ") and lines[-1].endswith(f"{number.name} came")
    assert "stopping after this step; once more ends it at once" in lines
    assert not list((begun / ".robustdd/stop").iterdir())
    goes_on_and_is_the_same(begun, long, tmp_path / "home")


def test_cancelling_in_the_ui_saves_a_checkpoint_and_stops(
    server: str, begun: Path, long: Path, tmp_path: Path, stages: list[Stage]
) -> None:
    name_study(begun, "cancelled")
    stages.append(stage := Stage(begun, tmp_path / "home", PREFECT_API_URL=server))
    stage.wait_for_step()
    (run,) = flow_runs(server, "cancelled")
    ask(server, f"flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
    code, lines = stage.end(30)
    assert code == 130, lines
    assert lines[-1].startswith("error: distilled: stopped after step "), lines
    assert lines[-1].endswith("which is saved; the next run goes on from there: cancelled in the Prefect UI")
    (run,) = flow_runs(server, "cancelled")
    assert run["state_name"] == "Cancelled" and "cancelled in the Prefect UI" in run["state"]["message"]
    (task,) = settled(server, run["id"], 1)
    assert task["state_name"] == "Cancelled"
    name_study(begun, "tiny")
    goes_on_and_is_the_same(begun, long, tmp_path / "home")


def test_a_killed_run_is_marked_crashed_at_the_next_start(
    server: str, begun: Path, long: Path, tmp_path: Path, stages: list[Stage]
) -> None:
    name_study(begun, "killed")
    stages.append(stage := Stage(begun, tmp_path / "home", PREFECT_API_URL=server))
    stage.wait_for_step()
    (run,) = flow_runs(server, "killed")
    wait_for(lambda: [one for one in task_runs(server, run["id"]) if one["state_name"] == "Running"])
    stage.process.kill()
    assert stage.process.wait() == -signal.SIGKILL
    assert flow_runs(server, "killed")[0]["state_name"] == "Running", "nobody told the server"
    env = environment(tmp_path / "home", PREFECT_API_URL=server, PREFECT_LOGGING_TO_API_BATCH_INTERVAL="0.2")
    done = call(begun, "distill", OURS, env=env)
    assert done.returncode == 0, done.stderr
    assert f"distill {OURS}: digits, symmetric-0.4, sgr, ours, IPC 1, seed 0: an earlier run had died" in done.stderr
    first, second = flow_runs(server, "killed")
    assert first["id"] == run["id"] and first["state_name"] == "Crashed" and "killed" in first["state"]["message"]
    assert [task["state_name"] for task in settled(server, first["id"], 1)] == ["Crashed"]
    assert second["state_name"] == "Completed" and not Layout(begun).flow_runs("distill", OURS).exists()
    assert any("goes on from step" in line for line in logs(server, second["id"]))
    assert bits(begun) == bits(long)
    shown = artifacts(server, second["id"])
    assert shown[f"distill-{OURS}-distilled-progress"]["data"] == 100
    page = shown[f"distill-{OURS}-distilled"]["data"]
    assert "**Accuracy on the noisy hold-out: " in page and page.count("data:image/png;base64,iVBOR") == 2
    assert f"iteration {STEPS} of {STEPS}" in page


@pytest.mark.parametrize("mode", [pytest.param("dead", marks=pytest.mark.soak), "hang"])
def test_a_server_that_is_lost_costs_a_line_and_changes_nothing(
    server: str, begun: Path, long: Path, tmp_path: Path, stages: list[Stage], mode: str
) -> None:
    port, upstream = tmp_path / "port", server.split(":")[2].split("/")[0]
    command = [sys.executable, "-m", "tests.support.live_proxy", str(port), upstream, str(tmp_path / "mode")]
    with subprocess.Popen(command, cwd=CODE) as proxy:
        try:
            wait_for(port.exists)
            url = f"http://127.0.0.1:{port.read_text()}/api"
            quick = {"PREFECT_API_REQUEST_TIMEOUT": "2", "PREFECT_API_URL": url}
            stages.append(stage := Stage(begun, tmp_path / "home", **quick))
            stage.wait_for_step()
            (tmp_path / "mode").write_text(mode)
            code, lines = stage.end(90)
        finally:
            proxy.kill()
    assert code == 0, lines
    assert len([line for line in lines if "the Prefect server failed" in line]) == 1, lines
    assert not [line for line in lines if "Traceback" in line]
    assert bits(begun) == bits(long)
    assert os.path.exists(Layout(begun).flow_runs("distill", OURS)), "its end is still to be told"
