"""Ray, an extra: worker processes of a Ray that is started for the stage, or of one that runs already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from robustdd.errors import UserError


def ray_module() -> Any:
    """The module; UserError in one line where it is not installed."""
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


class _RayExecutor(Executor):
    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        remote = self._ray.remote(fn).options(max_retries=1, num_cpus=1)
        future: Future[Any] = remote.remote(*args, **kwargs).future()
        return future


@contextmanager
def ray_executor(workers: int, address: str | None) -> Iterator[Executor]:
    """The workers of a Ray as a pool of the standard library."""
    ray = ray_module()
    ray.init(**start_options(workers, address), configure_logging=False)
    try:
        yield _RayExecutor(ray)
    finally:
        ray.shutdown()
