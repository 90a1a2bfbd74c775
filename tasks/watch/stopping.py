"""Stopping a stage from outside: a file says so to every process that works for it, on whichever machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robustdd.errors import RobustddError
from tasks.cache.layout import Place


class Stopped(RobustddError):  # noqa: N818
    """A stage that was asked to stop, and did; what it had is kept."""

    exit_code = 130


@dataclass(frozen=True)
class Stop:
    """The wish that a stage ends: a file in the study's folder, beside the stage's lock."""

    path: Path

    @classmethod
    def of(cls, place: Place) -> Stop:
        """The wish for the stage that writes at `place`."""
        return cls(place.layout.stop(place.stage, place.ident))

    def ask(self, reason: str) -> None:
        """Ask the stage to stop; the first reason stays."""
        if self.reason() is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(reason, encoding="utf-8")

    def reason(self) -> str | None:
        """Why the stage is to stop; None when nobody asked."""
        try:
            return self.path.read_text(encoding="utf-8") or "it was asked to"
        except FileNotFoundError:
            return None

    def clear(self) -> None:
        """Forget the wish: for the stage's only writer, before it begins and after it ended."""
        self.path.unlink(missing_ok=True)
