"""Ending by Ctrl-C, SIGTERM or a lost terminal: what runs is checkpointed; and within half a minute, whatever runs.

The first signal asks every stage at work to stop, as cancelling its run in the UI does. What has not stopped by itself
after `STOP_SECONDS` is interrupted: a thread that computes cannot be stopped, and Python would wait for it at its end.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from tasks.watch.stopping import Stop, Stopped

STOP_SECONDS = 15.0
"""What a unit has to come to the end of its step and save it: a scheduler that sends SIGTERM kills after 30."""
GRACE_SECONDS = 8.0
"""What Prefect has to be told of the end, and Dask to close its cluster, before this process ends as it is."""

INTERRUPTED = "error: interrupted; what is finished is kept"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which end a stage as Ctrl-C does."""


@dataclass
class _Process:
    """What this process was asked: signals are the process's."""

    at_work: set[Stop] = field(default_factory=set)
    reason: str | None = None
    number: int | None = None
    heeds: bool = False
    overdue: bool = False
    interrupted: bool = False


_this = _Process()


def exit_code(stop: KeyboardInterrupt | Stopped) -> int:
    """What a shell expects of a process that a signal ended; the same as of Ctrl-C where nobody sent one."""
    if _this.number is not None:
        return 128 + _this.number
    return stop.exit_code if isinstance(stop, Stopped) else 128 + signal.SIGINT


def interrupted() -> bool:
    """Whether something may still run that nobody waits for."""
    return _this.interrupted


def asked() -> str | None:
    """Why all stages of this process are to stop; None while they are not."""
    return _this.reason


def ask_all(reason: str) -> None:
    """Ask all stages of this process to stop, those as well that are begun later."""
    _this.reason = _this.reason or reason
    for stop in tuple(_this.at_work):
        stop.ask(reason)


@contextmanager
def stoppable(stop: Stop) -> Iterator[None]:
    """Be at work at what `stop` can end: for a stage's only writer."""
    stop.clear()  # what an earlier run was asked, and died before it could heed
    _this.at_work.add(stop)
    if _this.reason is not None:
        stop.ask(_this.reason)
    try:
        yield
    finally:
        _this.at_work.discard(stop)
        stop.clear()


def stop_on_signals() -> None:
    """Have SIGINT, SIGTERM and SIGHUP end what this process does; a second signal, but a SIGHUP, ends it at once.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    _this.heeds = True
    for number in _heard():
        signal.signal(number, _heed)


@contextmanager
def heeded() -> Iterator[None]:
    """`stop_on_signals` under a flow of Prefect, whose own handler would raise in the middle of whatever runs."""
    if not _this.heeds or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _heed) for number in _heard()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard() -> list[signal.Signals]:
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in _SIGNALS if number != signal.SIGHUP or not ignored]


def _heed(number: int, _: FrameType | None) -> None:
    if number == signal.SIGHUP:
        _forget_lost_terminal()
    if _this.number is not None and not _this.overdue:
        if number == signal.SIGHUP:
            return  # one lost terminal is told by the kernel and by what runs the stage
        _end_now(128 + number)
    if _this.overdue or not _this.at_work:
        _this.number, _this.overdue, _this.interrupted = number, False, True
        _later(GRACE_SECONDS, _end_now, 128 + number)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated
    _this.number = number
    print("stopping after this step; once more ends it at once", file=sys.stderr)
    ask_all(f"{signal.Signals(number).name} came")
    _later(STOP_SECONDS, _interrupt, number)


def _forget_lost_terminal() -> None:
    """Have output to a terminal that is no more go nowhere: every line to it would raise."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        if stat.S_ISCHR(os.fstat(output).st_mode) and not os.isatty(output):
            os.dup2(nowhere, output)
    os.close(nowhere)


def _later(seconds: float, then: Callable[[int], None], number: int) -> None:
    timer = threading.Timer(seconds, then, (number,))
    timer.daemon = True
    timer.start()


def _interrupt(number: int) -> None:
    """Have the main thread raise what the signal raises where nothing is to be saved."""
    _this.overdue = True
    os.kill(os.getpid(), number)


def _end_now(code: int) -> NoReturn:
    print(INTERRUPTED, file=sys.stderr)
    leave_at_once(code)


def leave_at_once(code: int) -> NoReturn:
    """End the process and wait for no thread of it."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # a progress bar has hidden the cursor
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
