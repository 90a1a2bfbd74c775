"""One stage as one Prefect flow run, watched in the UI."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from functools import partial

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
from prefect.futures import PrefectFuture

from flows.fanout import Fanout
from flows.runners import KeptHere, task_runner
from flows.running import note_all
from tasks.caching import Outcome, task_of
from tasks.producing import commit
from tasks.units import Unit


def run_live(
    stage: str,
    ident: str,
    waves: Iterator[list[Unit]],
    fanout: Fanout,
    labels: Sequence[str],
    outcomes: dict[str, Outcome],
) -> None:
    """Run the waves as one flow run with these tags, and note in `outcomes` what became of every unit, as it is known.

    Raises the error of the first unit that failed, after the others of its wave are done; whatever else is raised is
    Prefect's own trouble, and the units noted so far are done.
    """
    logging.raiseExceptions = False  # Prefect prints at once what its server does not take; one line comes later
    runner = task_runner(fanout)

    def drive() -> None:
        for wave in waves:
            futures = [(unit, task_of(unit).live.submit(unit, fanout.setup)) for unit in wave]
            note_all([(unit, partial(_outcome, unit, future)) for unit, future in futures], outcomes)

    body = KeptHere(drive)

    @flow(
        name=stage,
        flow_run_name=f"{stage} {ident}",
        task_runner=runner,
        validate_parameters=False,
    )
    def stage_flow() -> None:
        body()

    with tags(*labels, f"commit:{commit()}"):
        stage_flow()


def _outcome(unit: Unit, future: PrefectFuture[dict[str, object]]) -> Outcome:
    facts = future.result()
    cached = future.state.name == "Cached"
    return Outcome(unit.name, cached, {} if cached else dict(facts))
