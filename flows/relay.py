"""A command that is told every signal by which this process is to end, and all that it started as well."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

import psutil

LEFT_SECONDS = 30.0
"""What those have that outlive the command: a stage under a DVC that a signal ended cuts itself off before."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Relay:
    """While it is entered a signal ends nothing here: it is noted, and handed on to what `run` runs.

    DVC dies of SIGTERM and leaves its stage behind, which is why all processes under the command are told. A signal
    that this process ignores, as SIGHUP under nohup, stays ignored.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._command: subprocess.Popen[bytes] | None = None
        self._told: set[psutil.Process] = set()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._heed) for number in heard}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Whether a signal came."""
        return self.number is not None

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Exit code of the command, 128 + n where signal n came or ended it; nothing that was told is left running."""
        if self.number is None:
            self._command = subprocess.Popen(command, env=dict(environment))
            if self.asked():  # before it was known whom to tell
                self._tell(signal.SIGTERM)
            code = self._command.wait()
            self._outlived()
            if self.number is None:
                return code if code >= 0 else 128 - code
        return 128 + self.number

    def _heed(self, number: int, _: FrameType | None) -> None:
        self.number = self.number or number
        self._tell(None if number == signal.SIGINT and _in_foreground() else number)

    def _tell(self, number: int | None) -> None:
        """Send a signal to the command and to all under it; None where they have had it."""
        if self._command is None or self._command.returncode is not None:
            return
        try:
            root = psutil.Process(self._command.pid)
            self._told |= {root, *root.children(recursive=True)}
        except psutil.NoSuchProcess:
            pass
        for process in self._told if number is not None else ():
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def _outlived(self) -> None:
        """Wait for those that were told and are no children of this process; kill what does not end."""
        deadline = time.monotonic() + LEFT_SECONDS
        while any(_alive(process) for process in self._told) and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in filter(_alive, self._told):
            process.kill()


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _in_foreground() -> bool:
    """Whether a terminal's Ctrl-C that reaches this process reaches the command, too."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
