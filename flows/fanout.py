"""Where the units of a stage run: threads, processes, Dask or Ray; it cannot change a result and is in no key."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from flows.gpus import take_gpu, visible_gpus
from flows.pool import WorkerLost, WorkerPool
from flows.quota import quota
from robustdd.devices import settled
from robustdd.errors import RobustddError, UserError
from robustdd.params import Study
from robustdd.study.load import look_up
from tasks.cache.cache import Outcome, find, task_of
from tasks.cache.unit import Unit, key_of, stage_code
from tasks.cache.worker import WorkerSetup, log_to_terminal

RUNNERS = ("threads", "processes", "dask", "ray")
LOST = (WorkerLost.__name__, "KilledWorker", "WorkerCrashedError")
"""Errors that say that the process of a task died: ours, Dask's, Ray's."""


@dataclass(frozen=True)
class Fanout:
    """A runner and what it needs to know."""

    runner: str = "threads"
    workers: int = 1
    address: str | None = None
    gpus: tuple[str, ...] = ()
    """The GPUs of this machine, of which every worker process takes one."""
    on_gpu: bool = False
    """Whether tasks are to have one at all: Ray, which knows its own, gives one to each."""
    setup: WorkerSetup = field(default_factory=WorkerSetup)


def fanout_for(
    study: Study, module: str, runner: str | None = None, workers: int | None = None, address: str | None = None
) -> Fanout:
    """What the flags ask for in this study and stage; as many workers as there are GPUs or cores where none is said.

    No runner is threads, on a GPU processes: torch replays CUDA graphs in the main thread of a process alone. Raises
    UserError for flags that do not fit.
    """
    runner = runner or ("processes" if settled(study.device) == "cuda" else "threads")
    look_up(dict.fromkeys(RUNNERS), "--runner", runner)
    if workers is not None and workers < 1:
        raise UserError(f"--workers: expected 1 or more, found {workers}")
    if address is not None and runner not in ("dask", "ray"):
        raise UserError(f"--address names a cluster of --runner dask or ray; found --runner {runner}")
    pinned = runner in ("processes", "dask") and address is None and study.device != "cpu"
    gpus = visible_gpus() if pinned else ()
    default = len(gpus) or max(1, _cores() // study.threads)
    setup = WorkerSetup(study.threads, module, stage_code(module), runner != "threads")
    return Fanout(runner, workers or default, address, gpus, study.device != "cpu", setup)


def _cores() -> int:
    """Cores that this process may use: of a batch job or a container often fewer than the machine has."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    seen = len(allowed(0)) if allowed else os.cpu_count() or 1
    return max(1, int(min(seen, quota())))


def add_fanout(parser: ArgumentParser) -> None:
    """Add the flags of a fan-out to a command line."""
    parser.add_argument(
        "--workers", type=int, help="tasks at once; cannot change a result (default: GPUs, or cores / threads)"
    )
    parser.add_argument("--runner", help=f"where they run: {', '.join(RUNNERS)} (default: threads, on a GPU processes)")
    parser.add_argument("--address", help="a running cluster for --runner dask (tcp://HOST:PORT) or ray")


class Crew:
    """Runs units without a server; what is there already is found here, and no worker is started for it."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout, self._stack = fanout, ExitStack()
        self._workers: Executor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, _)

    def submit(self, unit: Unit) -> Future[Outcome]:
        """Have one unit made, or found."""
        if self._fanout.runner != "threads" and is_at_hand(unit):
            return _here(unit, self._fanout.setup)
        if self._workers is None:
            self._workers = self._stack.enter_context(_executor(self._fanout))
        return self._workers.submit(run_unit, unit, self._fanout.setup)


def run_unit(unit: Unit, setup: WorkerSetup) -> Outcome:
    """Find or make one unit in whatever process this is."""
    setup.apply(unit)
    return task_of(unit).direct(unit)


def is_at_hand(unit: Unit) -> bool:
    """Whether a unit needs no worker: its artifact is there, or it fails at once, for a missing or damaged input."""
    try:
        return find(unit, key_of(unit))
    except RobustddError:
        return True


def is_lost(error: BaseException) -> bool:
    """Whether the process of a task died, again when it was tried once more."""
    return type(error).__name__ in LOST


def told(unit: Unit, error: BaseException) -> BaseException:
    """The error as the user is told it: a lost worker by the unit that it was at."""
    if not is_lost(error):
        return error
    detail = str(error).splitlines()[0][:200] if type(error).__name__ == WorkerLost.__name__ else "killed"
    return RobustddError(
        f"{unit.place} {unit.name}: its worker process died, and again when it was tried once more ({detail}); what is "
        "finished is kept; run again, where memory ran out with fewer --workers"
    )


def prepare_process(gpus: Sequence[str]) -> None:
    """Initializer of a worker process."""
    log_to_terminal()
    take_gpu(tuple(gpus))


def _here(unit: Unit, setup: WorkerSetup) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    try:
        future.set_result(run_unit(unit, setup))
    except RobustddError as error:
        future.set_exception(error)
    return future


def _executor(fanout: Fanout) -> AbstractContextManager[Executor]:
    match fanout.runner:
        case "processes":
            return ended(WorkerPool(fanout.workers, prepare_process, (fanout.gpus,)))
        case "dask":
            from flows.dask_cluster import dask_executor

            return dask_executor(fanout.workers, fanout.gpus, fanout.address)
        case "ray":
            from flows.ray_cluster import ray_executor

            return ray_executor(fanout.workers, fanout.address, fanout.on_gpu)
    return ended(ThreadPoolExecutor(fanout.workers))


@contextmanager
def ended(executor: Executor) -> Iterator[Executor]:
    """Wait for the tasks at the end; when the stage itself is interrupted, for none."""
    try:
        yield executor
    except Exception:
        executor.shutdown()
        raise
    except BaseException:
        abandon(executor)
        raise
    executor.shutdown()


def abandon(executor: Any) -> None:
    """Leave what runs: worker processes are killed, threads end with this process."""
    if isinstance(executor, WorkerPool):
        executor.kill()
    else:
        executor.shutdown(wait=False, cancel_futures=True)
