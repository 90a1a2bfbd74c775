"""The pool of worker processes: each may die alone, and holds a GPU that no other has."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from flows import gpus
from flows.gpus import take_gpu, take_gpus, visible_gpus
from flows.pool import WorkerLost, WorkerPool
from robustdd.errors import RobustddError, UserError


def die_until(marks: Path, times: int) -> str:
    """Be killed so many times."""
    died = len(list(marks.iterdir()))
    if died < times:
        (marks / str(died)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return f"alive after {died}"


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def refuse(kind: str) -> None:
    if kind == "user":
        raise UserError("cells: expected a cell")
    raise ValueError("a mistake in the code")


def unsendable() -> object:
    return lambda: None


def pinned(seconds: float) -> tuple[str, float, float]:
    """The GPU of this process, and from when to when it was at work."""
    start = time.time()
    time.sleep(seconds)
    return os.environ["CUDA_VISIBLE_DEVICES"], start, time.time()


def test_a_task_whose_worker_dies_once_is_tried_again_and_its_neighbour_is_left_alone(tmp_path: Path) -> None:
    with WorkerPool(2) as pool:
        other = pool.submit(nap, 1.5)
        first = pool.submit(nap, 0)
        killed = pool.submit(die_until, tmp_path, 1)
        assert killed.result(60) == "alive after 1"
        assert other.result(60) != first.result(60)
        assert pool.submit(nap, 0).result(60) > 0


def test_a_task_whose_workers_die_twice_is_lost_and_the_others_are_not(tmp_path: Path) -> None:
    with WorkerPool(1) as pool:
        killed, after = pool.submit(die_until, tmp_path, 2), pool.submit(nap, 0)
        with pytest.raises(WorkerLost, match=r"pid \d+, killed by signal 9"):
            killed.result(60)
        assert after.result(60) > 0 and len(list(tmp_path.iterdir())) == 2


def test_errors_keep_their_kind_and_a_mistake_its_traceback() -> None:
    with WorkerPool(1) as pool:
        with pytest.raises(UserError, match="cells: expected a cell"):
            pool.submit(refuse, "user").result(60)
        with pytest.raises(ValueError, match="a mistake in the code") as caught:
            pool.submit(refuse, "other").result(60)
        assert "in refuse" in "".join(caught.value.__notes__)
        with pytest.raises(RobustddError, match="cannot be sent to the stage"):
            pool.submit(unsendable).result(60)
        with pytest.raises(Exception, match=r"local object .*<lambda>"):
            pool.submit(lambda: None).result(60)
        assert pool.submit(nap, 0).result(60) > 0
    with pytest.raises(RuntimeError, match="ended"):
        pool.submit(nap, 0)


def test_workers_that_cannot_start_are_told() -> None:
    with WorkerPool(2, refuse, ("other",)) as pool:
        tasks = [pool.submit(nap, 0), pool.submit(nap, 0)]
        for task in tasks:
            with pytest.raises(WorkerLost, match=r"a worker process did not start \(pid \d+, exit code 1\)"):
                task.result(60)


def test_killed_pools_end_at_once() -> None:
    pool = WorkerPool(1)
    running, waiting = pool.submit(nap, 60), pool.submit(nap, 60)
    time.sleep(1)
    since = time.monotonic()
    pool.kill()
    with pytest.raises(WorkerLost):
        running.result(30)
    assert waiting.cancelled() and time.monotonic() - since < 10
    pool.shutdown()


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The locks of GPUs lie here, for this process and those that it starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(gpus.OURS, "to be put back as it was")
    monkeypatch.delenv(gpus.OURS)
    return tmp_path


def test_two_stages_share_the_gpus_and_none_has_two_tasks_at_once(locks: Path) -> None:
    def one_stage() -> list[tuple[str, float, float]]:
        with WorkerPool(2, take_gpu, (("7", "9"),)) as pool:
            tasks = [pool.submit(pinned, 0.4) for _ in range(3)]
            return [task.result(60) for task in tasks]

    with ThreadPoolExecutor(2) as both:
        stages = [both.submit(one_stage) for _ in range(2)]
        spans = sorted(span for stage in stages for span in stage.result(120))
    assert {gpu for gpu, *_ in spans} == {"7", "9"} and len(spans) == 6
    for (gpu, _, end), (other, start, _) in pairwise(spans):
        assert gpu != other or end <= start


def test_the_gpus_of_a_process_are_moved_out_of_the_way(locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 2,-1,3")
    assert visible_gpus() == ("0", "2") and "CUDA_VISIBLE_DEVICES" not in os.environ
    assert visible_gpus() == ("0", "2"), "asked again, by another stage of this process"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == ()
    monkeypatch.delenv(gpus.OURS)
    assert visible_gpus() == (), "none is here"


def test_gpus_are_taken_once_and_free_again(locks: Path) -> None:
    first = take_gpus(("7", "9"), 1)
    second = take_gpus(("7", "9"), 2)
    assert (*first, *second) == ("7", "9") and take_gpus((), 2) == {}
    os.close(first["7"])
    third = take_gpus(("7", "9"), 2)
    assert list(third) == ["7"]
    for descriptor in (*second.values(), *third.values()):
        os.close(descriptor)
