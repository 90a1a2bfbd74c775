"""One worker process, seen from both ends of its pipe: it works one call after the other and dies with its parent."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from robustdd.errors import RobustddError

END_SECONDS = 10.0


class Worker:
    """One process and the pipe to it; EOFError or OSError says that it is dead."""

    def __init__(self, initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, initializer, initargs), daemon=True)
        self._process.start()
        theirs.close()

    def said(self) -> tuple[bool, Any]:
        """The next that it says: first that it is ready, then of a work whether it was done, and result or error."""
        answer: tuple[bool, Any] = self._pipe.recv()
        return answer

    def ask(self, work: Callable[[], Any]) -> tuple[bool, Any]:
        """Have it do this work."""
        self._pipe.send(work)
        return self.said()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def close(self) -> None:
        """Let it end by itself, so that its last log lines arrive; then make it end."""
        self._pipe.close()
        self._process.join(END_SECONDS)
        self._process.kill()

    def death(self) -> str:
        """How it died."""
        self._process.join(END_SECONDS)
        code = self._process.exitcode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"pid {self._process.pid}, {how}"


def _work(pipe: Connection, initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    """The life of a worker process: signals that are sent to all of a stage's processes are its parent's to answer."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_die_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*initargs)
    pipe.send((True, None))
    while True:
        try:
            work = pipe.recv()
        except EOFError:
            return
        except Exception as error:  # this process cannot import what it is asked for
            pipe.send((False, error))
            continue
        answer = _answer(work)
        try:
            pipe.send(answer)
        except OSError:
            return
        except Exception as error:
            pipe.send((False, RobustddError(f"{answer[1]!r} cannot be sent to the stage: {error}")))


def _answer(work: Callable[[], Any]) -> tuple[bool, Any]:
    try:
        return True, work()
    except BaseException as error:
        if not isinstance(error, RobustddError):
            error.add_note(traceback.format_exc())
        return False, error


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)
