"""`make repro` that is ended by a signal: DVC, its stage and a real server."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.dvc_project import FILE, STUDY, dvc, project_environment, small_study
from tests.support.live_server import ui_environment
from tests.support.pipeline import bits, environment, run
from tests.support.stage_processes import EPOCHS, command_of, family, gone, steps, until
from tests.support.studies import SGR, write_study

pytestmark = pytest.mark.soak


@pytest.mark.enable_socket
def test_dvc_under_a_real_server_ends_with_its_stage_saved_and_its_run_told(copied: Path, tmp_path: Path) -> None:
    params = small_study()
    params["teachers"]["epochs"] = EPOCHS
    study = write_study(copied / STUDY, params)
    whole = Path(shutil.copytree(study, tmp_path / "whole"))
    home = tmp_path / "server"
    env = {**project_environment(copied), **ui_environment(copied), "PREFECT_HOME": str(home)}
    command = (sys.executable, "-m", "flows.with_server", "dvc", "repro", f"{FILE}:teachers@{SGR}")
    process = subprocess.Popen(command, cwd=copied, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until(lambda: process.poll() is not None or min(steps(study, SGR).values(), default=0) >= 2)
        assert process.poll() is None, process.communicate()[1]
        left = family(process.pid)
        process.terminate()
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM and gone(left), said
    assert "which is saved; the next run goes on from there: SIGTERM came" in said and "Traceback" not in said, said
    with sqlite3.connect(home / "prefect.db") as database:
        (states,) = zip(*database.execute("select state_name from flow_run"), strict=True)
    assert states == ("Cancelled",), "the server was there to be told"
    said = dvc(copied, "repro", f"{FILE}:teachers@{SGR}")
    assert "goes on from step" in said and f"teachers {SGR}: 2 executed, 0 cached" in said
    run(whole, "teachers", SGR)
    assert bits(study, "teachers") == bits(whole, "teachers")


def test_a_real_server_dies_with_one_that_is_killed(tmp_path: Path) -> None:
    env = {**environment(tmp_path), "PREFECT_HOME": str(tmp_path / "home")}
    command = (sys.executable, "-m", "flows.with_server", "sh", "-c", "touch up; sleep 600")
    process = subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True)
    until((tmp_path / "up").exists, 180)
    left = family(process.pid)
    (server,) = [one for one in left if "prefect" in command_of(one)]
    process.kill()
    process.wait()
    until(lambda: gone([server]))
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
