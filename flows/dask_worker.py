"""What a worker process of a stage's own Dask cluster does first; Dask calls `dask_setup`."""

from __future__ import annotations

import signal


def dask_setup(_: object) -> None:
    """Leave SIGTERM that is sent to all of a stage's processes to the stage, as our own worker processes do."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
