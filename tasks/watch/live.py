"""A unit under Prefect's eyes: its progress and its page as artifacts of the run, made and sent beside the work."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from torch import Tensor

from robustdd.reporting.live_page import LivePage, markdown
from tasks.cache.unit import Unit
from tasks.watch.preview import Look, Seen, look_of
from tasks.watch.progress import Told

log = logging.getLogger("robustdd.run")

EVERY_SECONDS = 2.0
SHARE_OF_TIME = 0.05
"""Of a unit's time that its page may take of one processor: where there are few, the computation waits for it."""
CLOSE_SECONDS = 8.0
_DRAWING = threading.Lock()
"""Matplotlib's settings are the process's: one unit draws at a time."""
LEAST_SECONDS = 2.0
"""A unit that is done sooner gets no page: nobody could have looked at it."""


class LiveWatch:
    """Watches one unit from a thread of its own; whatever goes wrong there is one line in the log and no more.

    To be closed when the unit has ended. `look` as of `tasks.watch.preview.look_of`.
    """

    def __init__(self, unit: Unit, look: Look | None = None) -> None:
        self._name, self._title = unit.name, f"{unit.place} {unit.name}"
        self._key = f"{unit.place.stage}-{unit.place.ident}-{unit.name}"
        self._look = look or look_of(unit)
        self._newest: tuple[Told, Mapping[str, Tensor]] | None = None
        self._losses: list[tuple[int, float]] = []
        self._accuracies: list[tuple[int, float]] = []
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._begun = self._page_due = time.monotonic()
        self._progress: UUID | None = None
        self._page: UUID | None = None
        self._given_up: set[str] = set()

    def __call__(self, told: Told, tensors: Mapping[str, Tensor]) -> None:
        """Remember the newest step; the thread begins with the first."""
        if "loss" in told.figures:
            self._losses.append((told.step, told.figures["loss"]))
        self._newest = (told, tensors)
        if self._thread is None:
            # In a copy of the context: Prefect knows by it which run an artifact or a log line belongs to.
            run = contextvars.copy_context().run
            self._thread = threading.Thread(target=run, args=(self._serve,), daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Send the last step and end; a server that does not answer is not waited for."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _serve(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self._send()
        self._send()

    def _send(self) -> None:
        newest, now, worked = self._newest, time.monotonic(), time.thread_time()
        if newest is None:
            return
        self._guarded("progress", lambda: self._send_progress(newest[0]))
        last = self._over.is_set()
        if self._look is not None and (last or now >= self._page_due) and now - self._begun >= LEAST_SECONDS:
            look = self._look
            self._guarded("page", lambda: self._send_page(look, *newest))
            took = time.thread_time() - worked
            self._page_due = now + max(EVERY_SECONDS, took / SHARE_OF_TIME)

    def _guarded(self, what: str, send: Callable[[], None]) -> None:
        if what in self._given_up:
            return
        try:
            send()
        except Exception as trouble:
            self._given_up.add(what)
            reason = (str(trouble) or type(trouble).__name__).splitlines()[0][:200]
            log.warning("%s: its %s in the UI ends here (%s); the run goes on", self._name, what, reason)

    def _send_progress(self, told: Told) -> None:
        percent, words = 100 * told.step / max(1, told.total), f"{told.step} of {told.total}, {told.words()}"
        if self._progress is None:
            made: Any = create_progress_artifact(percent, key=f"{self._key}-progress", description=words, _sync=True)  # type: ignore[call-arg]
            self._progress = made
        else:
            update_progress_artifact(self._progress, percent, description=words, _sync=True)  # type: ignore[call-arg]

    def _send_page(self, look: Look, told: Told, tensors: Mapping[str, Tensor]) -> None:
        with _DRAWING:
            text = markdown(self._page_of(look, told, look.see(tensors)))
        if self._page is None:
            made: Any = create_markdown_artifact(text, key=self._key, description=self._title, _sync=True)  # type: ignore[call-arg]
            self._page = made
        else:  # in place: a version an update would fill the server's database with old pictures
            with get_client(sync_client=True) as client:
                client.update_artifact(self._page, ArtifactUpdate(data=text))

    def _page_of(self, look: Look, told: Told, seen: Seen) -> LivePage:
        if seen.accuracy is not None:
            self._accuracies.append((told.step, seen.accuracy))
        return LivePage(
            where=f"{look.step_name} {told.step} of {told.total}, {told.words()}",
            step_name=look.step_name,
            losses=list(self._losses),
            accuracies=self._accuracies,
            measured=seen.measured,
            picture=seen.picture,
            caption=seen.caption,
        )
