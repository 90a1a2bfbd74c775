"""Prefect's task runners as this project needs them: nothing is started for what is there, none outlives a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from prefect.client.schemas.objects import RunInput
from prefect.futures import PrefectFuture
from prefect.task_runners import (
    ProcessPoolTaskRunner,
    TaskRunner,
    ThreadPoolTaskRunner,
    _initialize_process_pool_worker,
)

from flows.fanout import Fanout, abandon, is_at_hand, prepare_process
from flows.pool import WorkerPool

Error = type[BaseException] | None


class KeptHere:
    """What a flow does, left out where the flow is pickled: Prefect sends it with every task elsewhere."""

    def __init__(self, body: Callable[[], Any]) -> None:
        self._body = body

    def __call__(self) -> Any:
        """Do it."""
        return self._body()

    def __reduce__(self) -> tuple[Any, ...]:
        """Nothing: a task needs none of it."""
        return KeptHere, (_nothing,)


def _nothing() -> None:
    return None


class StageThreads(ThreadPoolTaskRunner[Any]):
    """Prefect's threads; a stage that is interrupted does not wait for them."""

    def __exit__(self, kind: Error, error: BaseException | None, trace: TracebackType | None) -> None:
        if _interrupted(kind) and self._executor is not None:
            abandon(self._executor)
            self._executor = None
        super().__exit__(kind, error, trace)


class StageProcesses(ProcessPoolTaskRunner):
    """Prefect's processes, but in a pool of which each may die alone; an interrupted stage kills them.

    The executor of the standard library ends all its processes, and fails all their tasks, when one of them dies.
    """

    def __enter__(self) -> Self:
        super().__enter__()
        arguments = (self._subprocess_message_queue, self._initializer, self._initargs)
        self._executor: Any = WorkerPool(self._max_workers, _initialize_process_pool_worker, arguments)
        return self

    def __exit__(self, kind: Error, error: BaseException | None, trace: TracebackType | None) -> None:
        if _interrupted(kind):
            abandon(self._executor)
        super().__exit__(kind, error, trace)


class FarRunner(TaskRunner[PrefectFuture[Any]]):
    """Runs what must be made on `far`, which is started when the first such task comes; what is there is found here."""

    def __init__(self, far: Callable[[], TaskRunner[Any]], workers: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._make, self._workers, self._stack = far, workers, ExitStack()
        self._near = StageThreads(max_workers=workers)
        self._far: TaskRunner[Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Prefect sends the flow with every task, and its runner with the flow: the settings are enough there."""
        return type(self), (self._make, self._workers)

    def duplicate(self) -> Self:
        """One with the same settings, not started."""
        return type(self)(self._make, self._workers)

    def submit(
        self,
        task: Any,
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> Any:
        """Submit a task of one unit."""
        if is_at_hand(parameters["unit"]):
            return self._near.submit(task, parameters, wait_for, dependencies)
        if self._far is None:
            self._far = self._stack.enter_context(self._make())
        return self._far.submit(task, parameters, wait_for, dependencies)

    def __enter__(self) -> Self:
        super().__enter__()
        self._stack.enter_context(self._near)
        return self

    def __exit__(self, kind: Error, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)
        super().__exit__(kind, error, trace)


def task_runner(fanout: Fanout) -> TaskRunner[Any]:
    """The Prefect task runner that does what `fanout` says."""
    if fanout.runner == "threads":
        return StageThreads(max_workers=fanout.workers)
    return FarRunner(partial(_far, fanout), fanout.workers)


def _far(fanout: Fanout) -> TaskRunner[Any]:
    match fanout.runner:
        case "dask":
            return _dask(fanout)
        case "ray":
            from flows.ray_cluster import ray_task_runner

            runner: TaskRunner[Any] = ray_task_runner(fanout.workers, fanout.address, fanout.on_gpu)
            return runner
    return StageProcesses(fanout.workers, initializer=prepare_process, initargs=(fanout.gpus,))


def _dask(fanout: Fanout) -> TaskRunner[Any]:
    from prefect_dask.task_runners import DaskTaskRunner

    from flows.dask_cluster import LocalCluster, require_cluster

    if fanout.address is not None:
        require_cluster(fanout.address)
        return DaskTaskRunner(address=fanout.address)
    options = {"workers": fanout.workers, "gpus": fanout.gpus}
    return DaskTaskRunner(cluster_class=LocalCluster, cluster_kwargs=options)  # type: ignore[arg-type]


def _interrupted(kind: Error) -> bool:
    return kind is not None and not issubclass(kind, Exception)
