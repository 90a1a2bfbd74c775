"""Workers and stages that are killed: what is finished stays, nothing is orphaned, the next run goes on."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.pipeline import bits, built_once, call, change, environment, names, run
from tests.support.stage_processes import (
    EPOCHS,
    begun,
    both_at_work,
    family,
    gone,
    importable,
    kill,
    kill_twice,
    long_study,
    steps,
    until,
    working,
)
from tests.support.studies import PLAIN

TEACHERS = f"teachers/{PLAIN}"
ELSEWHERE = [pytest.param("processes"), *(pytest.param(name, marks=pytest.mark.soak) for name in ("dask", "ray"))]
GONE_SECONDS = 240
"""Workers go within seconds; two of Ray's own helpers ask only now and then whether they are needed."""
ALL = [pytest.param("threads", marks=pytest.mark.soak), *ELSEWHERE]


@pytest.fixture(scope="session")
def trained(shared: Path, built: Path) -> Path:
    """The study with teachers of seconds, trained in threads; read only."""

    def train(folder: Path) -> None:
        shutil.copytree(built, folder)
        change(folder, long_study())
        run(folder, "teachers", PLAIN, workers=2)

    return built_once(shared / "trained" / "tiny", train)


@pytest.fixture
def untrained(study: Path) -> Path:
    """The same study before its teachers."""
    change(study, long_study())
    shutil.rmtree(study / "data" / TEACHERS)
    return study


def keep_the_first(trained: Path, untrained: Path) -> None:
    """The first of the two teachers is there already."""
    for kind in ("safetensors", "json", "manifest.json"):
        name = f"data/{TEACHERS}/teacher-000.{kind}"
        (untrained / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(trained / name, untrained / name)


def flags(runner: str, workers: int = 2) -> tuple[str, ...]:
    return "teachers", PLAIN, "--runner", runner, "--workers", str(workers)


@pytest.mark.parametrize("runner", ["processes", "dask", pytest.param("ray", marks=pytest.mark.soak)])
def test_the_task_of_a_killed_worker_is_tried_once_more(untrained: Path, trained: Path, runner: str) -> None:
    importable(runner)
    with begun(untrained, *flags(runner), env=environment(untrained.parent / "home")) as stage:
        until(both_at_work(untrained))
        before = working(stage.pid, runner)
        assert len(before) == 2
        kill(before[0])
        assert stage.wait(120) == 0
        said = stage.stderr.read() if stage.stderr else ""
    assert f"teachers {PLAIN}: 2 executed, 0 cached" in said and "Traceback" not in said
    if runner == "processes":
        assert f"a worker process died (pid {before[0].pid}, killed by signal 9); its task is tried once more" in said
    assert bits(untrained, TEACHERS) == bits(trained, TEACHERS) and gone(before)


@pytest.mark.parametrize("runner", ELSEWHERE)
def test_a_task_whose_workers_die_again_ends_the_stage_in_one_line(untrained: Path, trained: Path, runner: str) -> None:
    """One teacher is there already: it is kept, and no worker is started for it."""
    importable(runner)
    keep_the_first(trained, untrained)
    with begun(untrained, *flags(runner, 1), env=environment(untrained.parent / "home")) as stage:
        kill_twice(stage, untrained, runner)
        assert stage.wait(60) == 1
        said = stage.stderr.read() if stage.stderr else ""
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: teachers {PLAIN} teacher-001: its worker process died, and again when ")
    assert "what is finished is kept; run again" in error and "Traceback" not in said
    assert names(run(untrained, "teachers", PLAIN)) == ["teacher-001"]
    assert bits(untrained, TEACHERS) == bits(trained, TEACHERS)


@pytest.mark.parametrize("runner", ALL)
def test_nothing_outlives_a_killed_stage_and_the_next_goes_on(untrained: Path, trained: Path, runner: str) -> None:
    importable(runner)
    env = environment(untrained.parent / "home")
    with begun(untrained, *flags(runner), env=env) as stage:
        until(both_at_work(untrained))
        left = family(stage.pid)
        os.kill(stage.pid, signal.SIGKILL)
        stage.wait()
        until(lambda: gone(left), GONE_SECONDS)
    reached = min(steps(untrained).values())
    assert 2 <= reached < EPOCHS
    done = call(untrained, *flags("threads"), env=env)
    assert done.returncode == 0 and f"teachers {PLAIN}: 2 executed, 0 cached" in done.stderr, done.stderr
    assert bits(untrained, TEACHERS) == bits(trained, TEACHERS)


def _of_a_terminal(device: int) -> None:
    fcntl.ioctl(device, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests under nohup would hand on that it is ignored


@pytest.mark.parametrize("runner", [pytest.param("threads", marks=pytest.mark.soak), *ELSEWHERE])
def test_a_stage_whose_terminal_is_lost_saves_its_step(untrained: Path, runner: str) -> None:
    """The kernel tells every process in the foreground of it; DVC, if it called the stage, dies of that."""
    importable(runner)
    ours, theirs = os.openpty()
    window = subprocess.Popen(("cat",), stdin=ours, stdout=subprocess.DEVNULL)
    os.close(ours)
    stage = subprocess.Popen(
        (sys.executable, "-m", "flows.stage", *flags(runner)),
        cwd=untrained,
        env=environment(untrained.parent / "home"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: _of_a_terminal(theirs),
    )
    os.close(theirs)
    left: list[psutil.Process] = []
    try:
        until(both_at_work(untrained))
        left = family(stage.pid)
        window.kill()
        assert stage.wait(60) == 128 + signal.SIGHUP
        until(lambda: gone(left), GONE_SECONDS)
    finally:
        for one in (*left, *family(stage.pid)):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        for process in (window, stage):
            process.kill()
            process.wait()
    assert 2 <= min(steps(untrained).values()) < EPOCHS


@pytest.mark.parametrize("runner", ["threads", *ELSEWHERE])
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_a_signal_ends_a_stage_and_saves_its_step(untrained: Path, runner: str, number: signal.Signals) -> None:
    """SIGTERM goes to all of its processes, as from a scheduler or a container's init: the stage alone answers it.

    Ray's own processes die of it.
    """
    with begun(untrained, *flags(runner), env=environment(untrained.parent / "home")) as stage:
        until(both_at_work(untrained))
        left = family(stage.pid)
        os.kill(stage.pid, number)
        for one in left if number == signal.SIGTERM and runner != "ray" else ():
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        assert stage.wait(60) == 128 + number
        until(lambda: gone(left), 60)
        said = stage.stderr.read() if stage.stderr else ""
    assert said.splitlines()[-1].startswith("error: teacher-00") and said.endswith(f": {number.name} came\n"), said
    assert "which is saved; the next run goes on from there" in said and "Traceback" not in said
    assert not (untrained / "data" / TEACHERS).exists() or not list(
        (untrained / "data" / TEACHERS).glob("*.manifest.json")
    )
    assert min(steps(untrained).values()) >= 2
