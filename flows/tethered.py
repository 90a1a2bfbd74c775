"""Become a command that dies with the process that started it: `python -m flows.tethered PID COMMAND`, on Linux."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2); it outlasts exec."""


def tethered(*command: str) -> tuple[str, ...]:
    """The command line that runs `command` so, for the thread that starts it: the kernel sends SIGKILL at its end."""
    return sys.executable, "-m", "flows.tethered", str(os.getpid()), *command


def main() -> None:
    """Never returns; elsewhere than on Linux the command outlives a parent that is killed."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit(128 + signal.SIGKILL)  # it died before it could be asked
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
