"""One writer a stage: the second is told the pid at once, a dead one's lock is free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from robustdd.errors import RobustddError
from tasks.cache.layout import Layout
from tasks.cache.locking import only_writer
from tests.support.pipeline import CODE, bits, call, environment, names, run
from tests.support.studies import CELL, SGR

HOLD = """
import sys, time
from pathlib import Path
from tasks.cache.locking import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(study: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes the labels."""
    lock = Layout(study).lock("labels", CELL)
    command = [sys.executable, "-c", HOLD, str(lock)]
    env = environment(study.parent / "home")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CODE, env=env)
    assert process.stdout and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_writer_is_told_the_pid_at_once(study: Path, holder: subprocess.Popen[str]) -> None:
    before = bits(study)
    with pytest.raises(RobustddError, match=rf"another run \(pid {holder.pid}\) is writing this stage") as caught:
        run(study, "labels", CELL)
    assert holder.poll() is None, "it was refused while the other held the lock, not after"
    assert caught.value.exit_code == 1
    assert bits(study) == before
    assert names(run(study, "subset", SGR)) == [], "another stage is free"
    done = call(study, "labels", CELL, env=environment(study.parent / "home"))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(f"error: labels-{CELL}: another run (pid {holder.pid}) ")


def test_the_lock_of_a_dead_holder_is_taken_over(study: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert Layout(study).lock("labels", CELL).read_text() == str(holder.pid)
    assert names(run(study, "labels", CELL)) == []


def test_a_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path / "locks/one"):
        raise ZeroDivisionError
    with only_writer(tmp_path / "locks/one"):
        assert (tmp_path / "locks/one").read_text() == str(os.getpid())
        with pytest.raises(RobustddError, match=str(os.getpid())), only_writer(tmp_path / "locks/one"):
            pass
    with only_writer(tmp_path / "locks/one"):
        pass
