"""A stage in a process of its own, with worker processes that a test looks at and kills."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from robustdd.store.checkpoints import _step_of
from tests.support.studies import PLAIN, tiny_study

EPOCHS = 40
"""Long enough to be killed in the middle: each is a checkpoint."""


def long_study() -> dict[str, Any]:
    """The tiny study with teachers of seconds."""
    study = tiny_study()
    study["teachers"]["epochs"] = EPOCHS
    return study


@contextmanager
def begun(folder: Path, *arguments: str, env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`python -m flows.stage ARGUMENTS`, in a process group of its own; nothing of it is left afterwards."""
    command = (sys.executable, "-m", "flows.stage", *arguments)
    process = subprocess.Popen(
        command, cwd=folder, env=dict(env), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        for one in family(process.pid):
            one.kill()
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


@contextmanager
def alive(command: Sequence[str], env: Mapping[str, str], log: IO[str]) -> Iterator[None]:
    """A process that serves while the body runs: a scheduler, a worker."""
    process = subprocess.Popen(command, env=dict(env), stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def importable(runner: str) -> None:
    """Skip a test of Ray where the extra is not installed."""
    if runner == "ray":
        pytest.importorskip("ray", reason="the extra [ray] is not installed")


def family(pid: int) -> list[psutil.Process]:
    """Every process under `pid`."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def workers(pid: int) -> list[psutil.Process]:
    """The worker processes under `pid`: those that Python's multiprocessing spawned."""
    return [one for one in family(pid) if "spawn_main" in " ".join(command_of(one))]


def working(pid: int, runner: str) -> list[psutil.Process]:
    """Those of them that have had a task: Ray names its own after it, Dask starts some that never get one."""
    if runner == "ray":
        names = {one: "".join(command_of(one)) for one in family(pid)}
        return [one for one, name in names.items() if name.startswith("ray::") and not re.search("Agent|IDLE", name)]
    return [one for one in workers(pid) if runner == "processes" or cpu(one) > 1]


def cpu(process: psutil.Process) -> float:
    """Its processor time in seconds."""
    try:
        return float(process.cpu_times().user)
    except psutil.Error:
        return 0.0


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def steps(folder: Path, view: str = PLAIN) -> dict[str, int]:
    """The last checkpoint of every teacher that has one."""
    found = (folder / ".robustdd/checkpoints/teachers" / view).glob("*/step-*")
    last: dict[str, int] = {}
    for path in found:
        last[path.parent.name] = max(last.get(path.parent.name, -1), _step_of(path))
    return last


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for it; AssertionError when it takes longer."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


def both_at_work(folder: Path) -> Callable[[], bool]:
    """Whether both teachers have got somewhere."""
    return lambda: len(steps(folder)) == 2 and min(steps(folder).values()) >= 2


def kill(process: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


def kill_twice(stage: subprocess.Popen[str], folder: Path, runner: str) -> None:
    """Kill the worker of the second teacher, and the next one that goes on with it, each after some steps."""
    for least in (2, 4):
        until(lambda least=least: steps(folder).get("teacher-001", 0) >= least)  # type: ignore[misc]
        at = steps(folder)["teacher-001"]
        kill(working(stage.pid, runner)[-1])
        until(lambda at=at: stage.poll() is not None or steps(folder)["teacher-001"] > at + 1)  # type: ignore[misc]
