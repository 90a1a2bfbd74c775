"""Ending a stage by Ctrl-C or SIGTERM: within seconds, whatever runs; the checkpoints and the artifacts are whole."""

from __future__ import annotations

import os
import signal
import sys
from threading import Timer
from types import FrameType
from typing import NoReturn

GRACE_SECONDS = 8.0
"""What Prefect has to be told of the end, and Dask to close its cluster, before this process ends as it is."""

INTERRUPTED = "error: interrupted; what is finished is kept"


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a stage as Ctrl-C does."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """What a shell expects of a process that a signal ended."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def stop_on_signals() -> None:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt in the main thread, and end the process after a time of grace.

    A thread that computes cannot be stopped, and Python would wait for it at its end. A second signal ends it at once.
    """
    pending: list[Timer] = []

    def stop(number: int, _: FrameType | None) -> None:
        if pending:
            _end_now(128 + number)
        timer = Timer(GRACE_SECONDS, _end_now, (128 + number,))
        timer.daemon = True
        timer.start()
        pending.append(timer)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _end_now(code: int) -> NoReturn:
    print(INTERRUPTED, file=sys.stderr)
    leave_at_once(code)


def leave_at_once(code: int) -> NoReturn:
    """End the process and wait for no thread of it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
