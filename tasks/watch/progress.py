"""Telling how far a unit is: a log line every few seconds, a bar in a terminal, and whoever else listens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from robustdd.progress import Progress
from robustdd.reporting.durations import duration
from robustdd.store.checkpoints import Checkpoints, Saved
from robustdd.store.manifest import JSON
from tasks.watch.stopping import Stop, Stopped

log = logging.getLogger("robustdd.run")

bars = logging.getLogger("robustdd.bar")
"""For a terminal's progress bars alone: records whose attribute `told` is a `Told`, or None when the unit has ended.

`bar` tells the units apart: two stages of one process may have units of the same name.
"""
bars.propagate = False
bars.setLevel(logging.CRITICAL)  # nobody looks, unless a terminal says so

LINE_SECONDS, BAR_SECONDS, LOOK_SECONDS = 5.0, 0.25, 0.5


@dataclass(frozen=True)
class Told:
    """Where a unit is; `rate` in steps a second and `left` in seconds are None until they can be told."""

    unit: str
    step: int
    total: int
    figures: Mapping[str, float]
    rate: float | None = None
    left: float | None = None

    def words(self) -> str:
        """What follows the step: the newest figures, the rate and the time that is left."""
        parts = [f"{name} {value:.4g}" for name, value in self.figures.items()]
        if self.rate:
            parts.append(f"{self.rate:.3g} steps/s" if self.rate >= 1 else f"{duration(1 / self.rate)} a step")
        if self.left is not None:
            parts.append(f"{duration(self.left)} left")
        return ", ".join(parts)


Watcher = Callable[[Told, Mapping[str, Tensor]], None]
"""Is told of every step that the computation tells, and the tensors to look at; it must return at once."""


def unwatched(_: Told, __: Mapping[str, Tensor]) -> None:
    """A watcher that does not look."""


class Reporter:
    """The listener of one unit: tells on, and ends the unit with `Stopped` when its stage is asked to stop."""

    def __init__(
        self,
        unit: str,
        stop: Stop | None = None,
        watcher: Watcher = unwatched,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unit, self._stop, self._watcher, self._clock = unit, stop, watcher, clock
        self._first: tuple[float, int] | None = None
        self._line = self._bar = clock()
        self._looked = -LOOK_SECONDS
        self._reason: str | None = None
        self._saves = False

    def __call__(self, progress: Progress) -> None:
        """Tell on where the computation is. Raises Stopped for a unit that has no checkpoints to save first."""
        if not self._saves:
            self.end_if_asked(f"at step {progress.step} of {progress.total}, which is not kept")
        now = self._clock()
        self._first = self._first or (now, progress.step)
        told = self._told(progress, now)
        self._watcher(told, progress.tensors)
        if now - self._bar >= BAR_SECONDS:
            self._bar = now
            bars.info(self._unit, extra={"bar": id(self), "told": told})
        if now - self._line >= LINE_SECONDS and told.rate is not None:
            self._line = now
            log.info("%s: %d of %d, %s", self._unit, told.step, told.total, told.words(), extra={"told": told})

    def _told(self, progress: Progress, now: float) -> Told:
        begun, step = self._first or (now, progress.step)
        rate = (progress.step - step) / (now - begun) if now > begun and progress.step > step else None
        left = None if rate is None or progress.step >= progress.total else (progress.total - progress.step) / rate
        return Told(self._unit, progress.step, progress.total, progress.figures, rate, left)

    def begun(self, step: int | None) -> None:
        """A unit with checkpoints looked for one: it goes on from `step`, or begins where there is none."""
        self._saves = True
        if step is not None:
            self._first = (self._clock(), step)
            log.info("%s: goes on from step %d, where an earlier run was cut off", self._unit, step)

    def asked_to_stop(self) -> bool:
        """Whether the stage is to stop; the file is looked at twice a second at most."""
        now = self._clock()
        if self._stop is not None and self._reason is None and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._reason = self._stop.reason()
        return self._reason is not None

    def end_if_asked(self, where: str) -> None:
        """Raise Stopped, in a line that says `where`, when the stage is to stop."""
        if self.asked_to_stop():
            raise Stopped(f"{self._unit}: stopped {where}: {self._reason}")

    def close(self) -> None:
        """The unit has ended, one way or the other."""
        bars.info(self._unit, extra={"bar": id(self), "told": None})


@dataclass(frozen=True)
class WatchedCheckpoints(Checkpoints):
    """Checkpoints that tell the reporter from where a unit goes on, and are saved at once when it is to stop."""

    reporter: Reporter

    def latest(self) -> Saved | None:
        """As of any checkpoints; the reporter is told its step."""
        saved = super().latest()
        self.reporter.begun(None if saved is None else saved.step)
        return saved

    def due(self, step: int, every: int) -> bool:
        """Whether to save now: at every so many steps, and when the stage is to stop."""
        return super().due(step, every) or self.reporter.asked_to_stop()

    def save(
        self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, JSON], lasting: Mapping[str, Tensor] = {}
    ) -> None:
        """Save; then raise Stopped when the stage is to stop."""
        super().save(step, tensors, facts, lasting)
        self.reporter.end_if_asked(f"after step {step}, which is saved; the next run goes on from there")
