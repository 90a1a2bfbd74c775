"""A whole study under a Prefect server: one flow run over those of its stages, cancelled as one, and a lost server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.test_live_interrupted import OURS, begun, long, name_study, server
from tests.support.live_server import ask, flow_runs, wait_for
from tests.support.pipeline import CODE, bits, environment

__all__ = ["begun", "long", "server"]

pytestmark = [pytest.mark.enable_socket, pytest.mark.soak, pytest.mark.timeout(900)]


@contextmanager
def reproducing(folder: Path, home: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m flows.reproduce` of a study that lacks its distilled set and what comes after it."""
    env = environment(home, PREFECT_API_URL=url, PREFECT_API_REQUEST_TIMEOUT="2", MPLCONFIGDIR=str(home))
    command = (sys.executable, "-m", "flows.reproduce", "--workers", "2")
    process = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def distilling(folder: Path) -> bool:
    return bool(list((folder / ".robustdd/checkpoints/distill" / OURS / "distilled").glob("step-*")))


def ended(process: subprocess.Popen[str], code: int) -> list[str]:
    _, said = process.communicate(timeout=300)
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said.splitlines()


def test_the_stages_stand_under_one_flow_run_which_can_be_cancelled(
    server: str, begun: Path, long: Path, tmp_path: Path
) -> None:
    name_study(begun, "whole")
    with reproducing(begun, tmp_path / "home", server) as process:
        wait_for(lambda: distilling(begun) or process.poll() is not None)
        (whole,) = (one for one in flow_runs(server, "whole") if one["name"] == "reproduce whole")
        ask(server, f"flow_runs/{whole['id']}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
        lines = ended(process, 130)
    assert "stages are left: cancelled in the Prefect UI; what is finished is kept" in lines[-1]
    states = {one["name"].split(":")[0]: one["state_name"] for one in flow_runs(server, "whole")}
    assert states["reproduce whole"] == states[f"distill {OURS}"] == "Cancelled", states
    with reproducing(begun, tmp_path / "home", server) as process:
        lines = ended(process, 0)
    assert any("goes on from step" in line for line in lines)
    assert bits(begun, "distill") == bits(long, "distill")
    runs = flow_runs(server, "whole")
    assert all(one["state_name"] in ("Completed", "Cancelled") for one in runs)
    second = [one for one in runs if one["name"] == "reproduce whole"][-1]
    assert second["state_name"] == "Completed"
    below = ask(server, "flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [second["id"]]}}})
    assert len(below) >= 8 and {one["state_name"] for one in below} == {"Completed"}


@pytest.mark.parametrize("mode", ["dead", "hang"])
def test_a_server_that_is_lost_in_the_middle_changes_nothing(
    server: str, begun: Path, long: Path, tmp_path: Path, mode: str
) -> None:
    port, upstream = tmp_path / "port", server.split(":")[2].split("/")[0]
    command = [sys.executable, "-m", "tests.support.live_proxy", str(port), upstream, str(tmp_path / "mode")]
    with subprocess.Popen(command, cwd=CODE) as proxy:
        try:
            wait_for(port.exists)
            with reproducing(begun, tmp_path / "home", f"http://127.0.0.1:{port.read_text()}/api") as process:
                wait_for(lambda: distilling(begun) or process.poll() is not None)
                (tmp_path / "mode").write_text(mode)
                lines = ended(process, 0)
        finally:
            proxy.kill()
    failed = [line.split(":")[0] for line in lines if "the Prefect server failed" in line]
    assert len(failed) == len(set(failed)) >= 2, "one line each, of the study and of a stage that was running"
    assert failed[-1] == "tiny" and f"distill {OURS}" in failed
    assert lines[-1].startswith(".: ") and " 0 cached" not in lines[-1]
    assert bits(begun, "distill") == bits(long, "distill") and (begun / "data/report.html").exists()
