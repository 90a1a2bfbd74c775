"""What a worker process of a stage's own Dask cluster does first; Dask calls `dask_setup`."""

from __future__ import annotations

import signal


def dask_setup(_: object) -> None:
    """Leave signals that are sent to all of a stage's processes to the stage, as our own worker processes do."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
