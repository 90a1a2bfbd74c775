"""One stage as one Prefect flow run, watched in the UI."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

# Read by Prefect on import. Its console is quiet: a stage tells its user one line where Prefect prints a traceback. It
# asks again where the server is busy (its database answers 503 then), but not for long: what is not told is lost to the
# UI alone, and a server that hangs would hold a stage for minutes.
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "robustdd")
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "3")
os.environ.setdefault("PREFECT_API_REQUEST_TIMEOUT", "10")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, tags
from prefect.exceptions import CancelledRun
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelled

from flows.fanout import Fanout, is_lost
from flows.flow_runs import cancellable, forget, mark_dead, mark_lost, note
from flows.naming import About
from flows.runners import KeptHere, task_runner
from flows.running import note_all
from flows.stopping import heeded
from robustdd.errors import RobustddError
from robustdd.store.provenance import commit
from tasks.cache.cache import Outcome, task_of
from tasks.cache.unit import Unit
from tasks.watch.stopping import Stop, Stopped

# They tell who died, as `mark_dead` does, and each flow run would wait a second for their thread.
NO_HEARTBEATS = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}


def run_live(about: About, waves: Iterator[list[Unit]], fanout: Fanout, outcomes: dict[str, Outcome]) -> None:
    """Run the waves as one flow run, and note in `outcomes` what became of every unit, as it is known.

    Raises the error of the first unit that failed, after the others of its wave are done; whatever else is raised is
    Prefect's own trouble, and the units noted so far are done. A run that is cancelled in the UI raises Stopped.
    """
    logging.raiseExceptions = False  # Prefect prints at once what its server does not take; one line comes later
    notes = about.layout.flow_runs(about.stage, about.ident)
    runs: list[UUID] = []
    stopped: list[Stopped] = []
    runner = task_runner(fanout)

    def drive() -> Any:
        runs.append(UUID(flow_run.id))
        note(notes, runs[0])
        stop = Stop(about.layout.stop(about.stage, about.ident))
        try:
            with cancellable(runs[0], stop.ask), heeded():
                _run_waves(about, waves, fanout, outcomes)
        except Stopped as stopping:
            stopped.append(stopping)
        reason = str(stopped[0]) if stopped else stop.reason()
        return Cancelled(message=reason) if reason else None

    body = KeptHere(drive)

    @flow(name=about.stage, flow_run_name=_plain(about.title), task_runner=runner, validate_parameters=False)
    def stage_flow() -> Any:
        return body()

    mark_dead(notes)
    with tags(*about.tags, f"commit:{commit()}"), temporary_settings(NO_HEARTBEATS):
        try:
            with suppress(CancelledRun):
                stage_flow()
        except RobustddError:
            forget(notes, runs)
            raise
    forget(notes, runs)
    if stopped:
        raise stopped[0]


def _run_waves(about: About, waves: Iterator[list[Unit]], fanout: Fanout, outcomes: dict[str, Outcome]) -> None:
    for wave in waves:
        futures = [(unit, _named(about, unit).submit(unit, fanout.setup)) for unit in wave]
        note_all([(unit, partial(_outcome, unit, future)) for unit, future in futures], outcomes)


def _named(about: About, unit: Unit) -> Any:
    return task_of(unit).live.with_options(task_run_name=_plain(about.unit_title(unit.name)))


def _plain(name: str) -> str:
    """A name that Prefect fills nothing into."""
    return name.replace("{", "{{").replace("}", "}}")


def _outcome(unit: Unit, future: PrefectFuture[dict[str, object]]) -> Outcome:
    try:
        future.wait()
        if future.state.is_cancelled():
            raise Stopped(future.state.message or f"{unit.name}: stopped")
        facts = future.result()
    except Exception as error:
        if is_lost(error):
            mark_lost(future.task_run_id)
        raise
    cached = future.state.name == "Cached"
    return Outcome(unit.name, cached, {} if cached else dict(facts))
