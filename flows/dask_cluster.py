"""Dask: a cluster on this machine that lives as long as the stage, or one that runs already."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster

from flows.gpus import VISIBLE, take_gpus
from robustdd.errors import RobustddError, UserError

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 10

# The task of a worker that died is tried once more, as with processes of our own.
dask.config.set({"distributed.scheduler.allowed-failures": 1})


class LocalCluster(SpecCluster):
    """Worker processes under Dask's nannies on loopback, one task each at a time, no memory limit, no dashboard.

    With `gpus` every worker has one of its own, of those that no other run of this user holds now.
    """

    def __init__(self, workers: int, gpus: tuple[str, ...] = ()) -> None:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        options = {"host": LOOPBACK, "nthreads": 1, "memory_limit": 0, "silence_logs": logging.CRITICAL}
        options["preload"] = ["flows.dask_worker"]
        self._locks = take_gpus(gpus, workers)
        own = [{"env": {VISIBLE: gpu}} for gpu in self._locks] or [{}] * workers
        super().__init__(  # type: ignore[no-untyped-call]
            # Its HTTP server runs without the dashboard, too, and would warn where another run has the usual port.
            scheduler={
                "cls": Scheduler,
                "options": {"host": LOOPBACK, "port": 0, "dashboard": False, "dashboard_address": f"{LOOPBACK}:0"},
            },
            workers={index: {"cls": Nanny, "options": {**options, **more}} for index, more in enumerate(own)},
            silence_logs=logging.CRITICAL,
        )

    def close(self, timeout: float | None = None) -> Any:
        """End scheduler and workers, and free the GPUs."""
        closed = super().close(timeout)
        while self._locks:
            os.close(self._locks.popitem()[1])
        return closed


def require_cluster(address: str) -> None:
    """Raise, in one line, unless a scheduler with a worker answers at `address`."""
    if not address.startswith(("tcp://", "tls://")):
        raise UserError(f"--address: expected tcp://HOST:PORT of a Dask scheduler, found {address!r}")
    try:
        with Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
            workers = client.scheduler_info(n_workers=-1)["workers"]
    except (OSError, TimeoutError) as trouble:
        raise RobustddError(
            f"--address {address}: no Dask scheduler answers; start `dask scheduler` there"
        ) from trouble
    if not workers:
        raise RobustddError(f"--address {address}: the Dask scheduler has no workers; start `dask worker {address}`")


@contextmanager
def dask_executor(workers: int, gpus: tuple[str, ...], address: str | None) -> Iterator[Executor]:
    """The workers of a cluster as a pool of the standard library."""
    if address is not None:
        require_cluster(address)
        with Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
            yield client.get_executor(pure=False)
        return
    with LocalCluster(workers, gpus) as cluster, Client(cluster, set_as_default=False) as client:
        yield client.get_executor(pure=False)
