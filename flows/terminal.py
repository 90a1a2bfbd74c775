"""The log on standard error: a bar for every running unit in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.cache.worker import TerminalHandler, log_to_terminal
from tasks.watch.progress import Told, bars

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def terminal() -> Iterator[None]:
    """Show the project's own lines while the body runs, and leave the terminal as it was."""
    handler = _Bars() if _is_terminal() else None
    if handler is not None:
        logging.getLogger("robustdd").addHandler(handler)
        bars.addHandler(handler)
        bars.setLevel(logging.INFO)
    log_to_terminal()
    try:
        yield
    finally:
        if handler is not None:
            bars.removeHandler(handler)
            logging.getLogger("robustdd").removeHandler(handler)
            handler.close()


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


class _Bars(TerminalHandler):
    """Lines above, and below them one bar a running unit; the lines that only say how far a unit is are left out."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._rows: dict[int, TaskID] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Move the bar of a unit, or print a line above all bars."""
        try:
            if record.name == bars.name:
                self._move(record.__dict__["bar"], record.getMessage(), record.__dict__["told"])
            elif "told" in record.__dict__:
                return
            elif self._progress is not None:
                self._progress.console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)
            else:
                print(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)

    def _move(self, bar: int, unit: str, told: Told | None) -> None:
        if told is None:
            if self._progress is not None and bar in self._rows:
                self._progress.remove_task(self._rows.pop(bar))
            return
        if self._progress is None:
            self._progress = _started()
        if bar not in self._rows:
            self._rows[bar] = self._progress.add_task(unit, total=told.total, words="")
        self._progress.update(self._rows[bar], completed=told.step, total=told.total, words=told.words())

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        super().close()


def _started() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
    )
    progress = Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4)
    progress.start()
    return progress
