"""How the units of a stage are run: under a Prefect server that answers, else directly; the cache is the same."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from flows.server import answers
from robustdd.errors import RobustddError
from tasks.caching import Outcome, task_of
from tasks.made import left as facts_left
from tasks.units import Unit

log = logging.getLogger("robustdd.run")

SERVER_LOST = Event()
"""Set when a Prefect server failed while this process used it."""

Waves = Callable[[], Iterator[list[Unit]]]
"""The units of a stage, wave after wave: a wave is asked for when the one before is done."""


def run_units(stage: str, ident: str, waves: Waves, workers: int, labels: Sequence[str] = ()) -> list[Outcome]:
    """Run every unit of a stage, up to `workers` of a wave at once. Raises RobustddError for a unit that failed.

    The artifacts decide, not the server: when Prefect itself fails on the way, the rest runs without it.
    """
    url, since = os.environ.get("PREFECT_API_URL"), time.time()
    outcomes: dict[str, Outcome] = {}
    if url and answers(url):
        try:
            _live(stage, ident, waves, workers, labels, outcomes)
            return list(outcomes.values())
        except RobustddError:
            raise
        except Exception as trouble:
            SERVER_LOST.set()
            reason = (str(trouble) or type(trouble).__name__).splitlines()[0][:200]
            log.warning("%s %s: the Prefect server failed (%s); going on without it", stage, ident, reason)
    else:
        where = f" at {url}" if url else ""
        log.info("%s %s: no Prefect server%s; the tasks run directly, with the same cache", stage, ident, where)
    _direct(waves, workers, outcomes, since)
    return list(outcomes.values())


def _live(
    stage: str, ident: str, waves: Waves, workers: int, labels: Sequence[str], outcomes: dict[str, Outcome]
) -> None:
    from flows.live import run_live

    run_live(stage, ident, waves(), workers, labels, outcomes)


def _direct(waves: Waves, workers: int, outcomes: dict[str, Outcome], since: float) -> None:
    """Run what is not noted in `outcomes` yet.

    What was made after `since` under a server that then failed was made by this run, though nobody told it so.
    """
    with ThreadPoolExecutor(workers) as pool:
        for wave in waves():
            left = [unit for unit in wave if unit.name not in outcomes]
            for unit, outcome in zip(left, pool.map(lambda unit: task_of(unit).direct(unit), left), strict=True):
                facts = facts_left(unit.place, unit.name, since) if outcome.cached else {}
                outcomes[unit.name] = Outcome(unit.name, False, facts) if facts else outcome
