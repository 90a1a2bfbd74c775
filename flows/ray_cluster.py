"""Ray, an extra: worker processes of a Ray that is started for the stage, or of one that runs already."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from threading import Lock, current_thread, main_thread
from typing import Any, Self, cast

from robustdd.errors import UserError

ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0", "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1"}
"""It phones nowhere, its lines are plain, and SIGTERM stays the stage's to heed."""
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
"""A node of its own takes the address of the network, and makes 127.0.0.1 that, unless Ray's clusters are off, which
has this name; what all the same listens everywhere wants a token."""

_lock = Lock()
_users = 0
"""Stages of this process that use its one Ray."""


def ray_module(address: str | None) -> Any:
    """The module, which phones nowhere; UserError in one line where it is not installed."""
    own = {} if address else {**ON_LOOPBACK, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in {**ALWAYS, **own}.items():  # read on import
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UserError('--runner ray: Ray is not installed; pip install "robustdd[ray]"') from None
    return ray


def start_options(workers: int, address: str | None) -> dict[str, Any]:
    """How Ray is started: on loopback without a dashboard, or not at all where an address names one that runs."""
    if address is not None:
        return {"address": address}
    return {"num_cpus": workers, "include_dashboard": False, "log_to_driver": True}


def task_options(ray: Any, on_gpu: bool) -> dict[str, Any]:
    """What a task asks for: a core, a GPU of its own where there are some, and to be tried once more when it dies.

    Ray hides every GPU from a task that asks for none.
    """
    options = {"num_cpus": 1, "max_retries": 1}
    return {**options, "num_gpus": 1} if on_gpu and ray.cluster_resources().get("GPU") else options


class _RayExecutor(Executor):
    def __init__(self, ray: Any, on_gpu: bool) -> None:
        self._ray, self._options = ray, task_options(ray, on_gpu)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        remote, future = self._ray.remote(fn).options(**self._options), Future[Any]()

        def settle(done: Future[Any]) -> None:
            error = done.exception()
            if error is None:
                future.set_result(done.result())
            else:  # Ray wraps what a task raised in the text of its traceback
                future.set_exception(getattr(error, "cause", None) or error)

        remote.remote(*args, **kwargs).future().add_done_callback(settle)
        return future


@contextmanager
def started(workers: int, address: str | None) -> Iterator[Any]:
    """Ray, started by the first stage of this process that needs it and ended by the last.

    It replaces the handler of SIGTERM, which is put back.
    """
    global _users
    ray = ray_module(address)
    with _lock:
        if _users == 0:
            heeds = signal.getsignal(signal.SIGTERM)
            ray.init(**start_options(workers, address), configure_logging=False)
            if current_thread() is main_thread():
                signal.signal(signal.SIGTERM, heeds)
        _users += 1
    try:
        yield ray
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                ray.shutdown()


@contextmanager
def ray_executor(workers: int, address: str | None, on_gpu: bool) -> Iterator[Executor]:
    """The workers of a Ray as a pool of the standard library."""
    with started(workers, address) as ray:
        yield _RayExecutor(ray, on_gpu)


def ray_task_runner(workers: int, address: str | None, on_gpu: bool) -> Any:
    """The same as Prefect's task runner, not started."""
    ray = ray_module(address)
    from prefect_ray.context import remote_options
    from prefect_ray.task_runners import RayTaskRunner

    class StageRay(RayTaskRunner):  # type: ignore[misc]
        """Prefect's runner, which uses a Ray that runs and knows a task's needs from where it is submitted."""

        def __enter__(self) -> Self:
            self._stage = ExitStack()
            self._stage.enter_context(started(workers, address))
            return cast(Self, super().__enter__())

        def __exit__(self, *error: Any) -> None:
            super().__exit__(*error)
            self._stage.close()

        def submit(self, *arguments: Any, **named: Any) -> Any:
            """Submit a task of one unit."""
            with remote_options(**task_options(ray, on_gpu)):
                return super().submit(*arguments, **named)

    return StageRay()
