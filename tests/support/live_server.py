"""One Prefect server on loopback for a whole test run, and what a test asks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.pipeline import CODE, environment, held

WATCH = """
import os, sys, time
from pathlib import Path
folder, run = Path(sys.argv[1]), int(sys.argv[2])
(folder / "url.new").write_text(os.environ["PREFECT_API_URL"])
(folder / "url.new").rename(folder / "url")
while os.path.exists(f"/proc/{run}"):
    time.sleep(0.5)
"""
"""Lives as long as the test run, and the server as long as this."""


_STARTED: list[subprocess.Popen[bytes]] = []
"""Kept until the test run ends, since Python warns of a process that nobody waits for."""


def ui_environment(home: Path) -> dict[str, str]:
    """What env.mk exports, with the stores under `home`."""
    told = subprocess.run(
        ["make", "-s", "-f", "-", "STUDY=."], input=f"include {CODE}/env.mk\nall: ; @env -0\n",
        capture_output=True, text=True, check=True, cwd=home,
    ).stdout  # fmt: skip
    exported = dict(line.split("=", 1) for line in told.split("\0") if "=" in line)
    return {
        name: value.replace(str(CODE), str(home))
        for name, value in exported.items()
        if name.startswith(("PREFECT_", "DVC_", "DO_NOT"))
    }


def live_server(folder: Path) -> str:
    """Address of the test run's server, started as `make ui` starts it by whoever asks first."""
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / "lock"):
        if not (folder / "url").exists():
            run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
            command = (sys.executable, "-m", "flows.with_server", sys.executable, "-c", WATCH, str(folder), str(run))
            env = {**environment(folder), **ui_environment(folder)}
            with (folder / "log").open("w") as log:
                server = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=CODE, start_new_session=True)
            _STARTED.append(server)
            wait_for(lambda: (folder / "url").exists(), 120)
    return (folder / "url").read_text()


def wait_for(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.1)


def ask(url: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The server's answer to a GET, or to a POST of `body`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def flow_runs(url: str, study: str) -> list[dict[str, Any]]:
    """Every flow run of a study, oldest first."""
    asked = {"flow_runs": {"tags": {"all_": [f"study:{study}"]}}, "sort": "START_TIME_ASC"}
    return list(ask(url, "flow_runs/filter", asked))


def task_runs(url: str, run: str) -> list[dict[str, Any]]:
    """Every task run of a flow run."""
    return list(ask(url, "task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}}))


def settled(url: str, run: str, tasks: int) -> list[dict[str, Any]]:
    """The task runs of a flow run once that many are told to have ended: Prefect tells them a little late."""

    def all_told() -> bool:
        found = task_runs(url, run)
        return len(found) == tasks and all(one["state_type"] not in ("RUNNING", "PENDING") for one in found)

    wait_for(all_told, 30)
    return task_runs(url, run)


def artifacts(url: str, run: str) -> dict[str, dict[str, Any]]:
    """The artifacts of a flow run by their key."""
    found = ask(url, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    return {one["key"]: one for one in found}


def logs(url: str, run: str) -> list[str]:
    """The log lines of a flow run."""
    asked = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
    return [one["message"] for one in ask(url, "logs/filter", asked)]
