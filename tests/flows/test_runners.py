"""Runners: the same artifacts with each, one line for a flag that is wrong, and no worker for what is there."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import stage
from tests.flows.test_stage import in_process, said
from tests.support.pipeline import bits, call, change, environment, run, stages
from tests.support.stage_processes import alive, importable, until
from tests.support.studies import CELL, PLAIN, SGR, tiny_study

__all__ = ["in_process"]
OURS = f"{CELL}-ours-ipc1-s0"
HERE, ELSEWHERE = ["threads", "processes"], ["dask", "ray"]


def run_in(folder: Path, name: str, ident: str, runner: str, *more: str) -> str:
    """What a stage says that runs in a process of its own: Dask and Ray need the sockets that tests are denied."""
    importable(runner)
    env = environment(folder.parent / "home")
    done = call(folder, name, ident, "--runner", runner, "--workers", "2", *more, env=env, seconds=240)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("runner", [*HERE, *ELSEWHERE])
@pytest.mark.parametrize(("name", "ident"), [("teachers", SGR), ("distill", OURS)])
def test_every_runner_makes_the_same_bits(study: Path, name: str, ident: str, runner: str) -> None:
    before = bits(study)
    shutil.rmtree(study / "data" / name / ident)
    if runner in HERE:
        run(study, name, ident, workers=2, runner=runner)
    else:
        told = run_in(study, name, ident, runner)
        assert f"{name} {ident}: {2 if name == 'teachers' else 1} executed, 0 cached" in told
        assert "distributed" not in told and "Traceback" not in told
    assert bits(study) == before


@pytest.mark.soak
@pytest.mark.parametrize("runner", ["processes", *ELSEWHERE])
def test_every_stage_makes_the_same_bits_with_every_runner(study: Path, runner: str) -> None:
    before = bits(study)
    for name, ident in stages(study):
        shutil.rmtree(study / "data" / name / ident)
        run_in(study, name, ident, runner)
    assert bits(study) == before


@pytest.mark.parametrize("runner", ["processes", "dask"])
def test_what_is_there_starts_no_worker(study: Path, runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.fanout._executor", lambda fanout: pytest.fail("a worker was started"))
    assert [one.cached for one in run(study, "teachers", SGR, workers=2, runner=runner)] == [True, True]


def test_an_error_in_a_worker_is_one_line(in_process: Path, capfd: pytest.CaptureFixture[str]) -> None:
    params = tiny_study()
    params["train_full"]["learning_rate"] = 1e30
    change(in_process, params)
    assert stage.main(["train-full", CELL, "--runner", "processes", "--workers", "1"]) == 1
    captured = capfd.readouterr()
    assert [line for line in captured.err.splitlines() if line.startswith("error: ") and "finite" in line]
    assert "Traceback" not in captured.err


def test_code_that_changed_since_the_stage_began_is_not_run(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher that waits while the first is trained would be made by the old code under the key of the new."""
    from robustdd.errors import RobustddError
    from tasks.cache import unit as units
    from tasks.stages import teachers

    before, edited, real = bits(study), [], units.code_hash
    original = teachers.train_teacher

    def train(*arguments: object) -> object:
        edited.append(arguments[8])
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(teachers, "train_teacher", train)
    monkeypatch.setattr(units, "code_hash", lambda name: "e" * 64 if edited else real(name))
    shutil.rmtree(study / "data/teachers" / SGR)
    with pytest.raises(RobustddError, match="its code changed while it ran"):
        run(study, "teachers", SGR, workers=1)
    assert edited == [0], "the second teacher was not begun"
    edited.clear()
    monkeypatch.setattr(teachers, "train_teacher", original)
    assert [one.cached for one in run(study, "teachers", SGR)] == [True, False] and bits(study) == before


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--runner", "proceses"], "error: unknown --runner 'proceses': did you mean 'processes'? known are "),
        (["--address", "tcp://127.0.0.1:1"], "error: --address names a cluster of --runner dask or ray; found "),
        (["--runner", "dask", "--address", "127.0.0.1:1"], "error: --address: expected tcp://HOST:PORT of a Dask "),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_2(
    in_process: Path, capsys: pytest.CaptureFixture[str], flags: list[str], line: str
) -> None:
    shutil.rmtree(in_process / "data/teachers" / PLAIN)
    assert stage.main(["teachers", PLAIN, *flags]) == 2
    assert said(capsys)[-1].startswith(line)


def test_ray_that_is_not_installed_is_one_line(
    in_process: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    shutil.rmtree(in_process / "data/teachers" / PLAIN)
    assert stage.main(["teachers", PLAIN, "--runner", "ray"]) == 2
    assert said(capsys)[-1] == 'error: --runner ray: Ray is not installed; pip install "robustdd[ray]"'


@contextmanager
def dask_cluster(folder: Path, workers: int) -> Iterator[str]:
    """A scheduler and so many workers, each a process of its own on loopback."""
    address, env = folder / "scheduler.json", environment(folder)
    ends = ("--scheduler-file", str(address), "--host", "127.0.0.1", "--no-dashboard")
    command = (sys.executable, "-m", "dask")
    log = (folder / "dask.log").open("w")
    with log, alive([*command, "scheduler", "--port", "0", *ends], env, log):
        until(address.exists, 60)
        with alive([*command, "worker", "--nworkers", str(workers), "--nthreads", "1", *ends], env, log):
            import json

            yield json.loads(address.read_text())["address"]


def test_a_cluster_that_runs_already(study: Path, tmp_path: Path) -> None:
    before, env = bits(study), environment(tmp_path / "home")
    shutil.rmtree(study / "data/teachers" / SGR)
    with dask_cluster(tmp_path, workers=2) as address:
        flags = ("teachers", SGR, "--runner", "dask", "--address", address)
        until(lambda: "Registered" in (tmp_path / "dask.log").read_text(), 60)
        done = call(study, *flags, env=env, seconds=240)
        assert done.returncode == 0 and f"teachers {SGR}: 2 executed, 0 cached" in done.stderr, done.stderr
        assert bits(study) == before
    shutil.rmtree(study / "data/teachers" / SGR)
    done = call(study, *flags, env=env, seconds=240)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: --address {address}: no Dask scheduler answers; start ")
