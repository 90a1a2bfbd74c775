"""Flow runs as the server knows them: noted while they run, marked when they died, watched for who cancels them."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from robustdd.store.artifacts import write_atomically

log = logging.getLogger("robustdd.run")

CANCEL_SECONDS = 2.0
LOST = "Its worker process died, and again when it was tried once more. What is finished is kept."
GONE = "Its process ended without a word: killed, or cut off from the server. What it finished is kept."


def noted(path: Path) -> list[UUID]:
    """The runs that stand in the notes of a stage, oldest first."""
    try:
        return [UUID(line) for line in path.read_text(encoding="utf-8").split()]
    except (FileNotFoundError, ValueError):
        return []


def _write(path: Path, runs: list[UUID]) -> None:
    if runs:
        write_atomically(path, "".join(f"{run}\n" for run in runs).encode())
    else:
        path.unlink(missing_ok=True)


def note(path: Path, run: UUID) -> None:
    """Note a run before it does anything: who finds the note, and holds the stage's lock, knows that it has died."""
    _write(path, [*noted(path), run])


def forget(path: Path, runs: Sequence[UUID]) -> None:
    """Forget runs whose end the server knows."""
    _write(path, [other for other in noted(path) if other not in runs])


def mark_dead(path: Path) -> None:
    """Mark as Crashed, with their tasks, the noted runs that the server believes to be running.

    For the stage's only writer, before it begins. A run that the server does not know is forgotten; one that cannot be
    marked stays noted, and a line says so.
    """
    try:
        _mark(path)
    except Exception as trouble:
        reason = (str(trouble) or type(trouble).__name__).splitlines()[0][:200]
        log.warning("%s: a run that died could not be marked Crashed (%s)", path.name, reason)


def _mark(path: Path) -> None:
    for run in noted(path):
        with get_client(sync_client=True) as client:
            try:
                dead = client.read_flow_run(run)
            except ObjectNotFound:
                forget(path, [run])
                continue
            if dead.state is None or not dead.state.is_final():
                client.set_flow_run_state(run, Crashed(message=GONE), force=True)
                log.info("%s: an earlier run had died; it is marked Crashed", dead.name)
            _mark_tasks(client, run)
        forget(path, [run])


def _mark_tasks(client: SyncPrefectClient, run: UUID) -> None:
    tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
    for task in tasks:
        if task.state is None or not task.state.is_final():
            client.set_task_run_state(task.id, Crashed(message=GONE), force=True)


def mark_lost(task: UUID) -> None:
    """Mark a task run as Crashed whose worker process died, and could so tell nobody."""
    with suppress(Exception), get_client(sync_client=True) as client:  # a server that is lost is told elsewhere, once
        client.set_task_run_state(task, Crashed(message=LOST), force=True)


@contextmanager
def cancellable(run: UUID, ask: Callable[[str], None], every: float = CANCEL_SECONDS) -> Iterator[None]:
    """Call `ask` with a reason when a run is cancelled in the UI; looked for every few seconds, from another thread."""
    over = threading.Event()

    def watch() -> None:
        with get_client(sync_client=True) as client:
            while not over.wait(every):
                try:
                    state = client.read_flow_run(run).state
                except Exception:  # a server that is lost is told elsewhere, once
                    continue
                if state is not None and (state.is_cancelling() or state.is_cancelled()):
                    ask("cancelled in the Prefect UI")
                    return

    threading.Thread(target=contextvars.copy_context().run, args=(watch,), daemon=True).start()
    try:
        yield
    finally:
        over.set()
