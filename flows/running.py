"""How the units of a stage are run: under a Prefect server that answers, else directly; the cache is the same."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Event

from flows.fanout import Crew, Fanout, told
from flows.naming import About
from flows.server import answers
from robustdd.errors import RobustddError
from tasks.cache.cache import Outcome
from tasks.cache.made import left as facts_left
from tasks.cache.unit import Unit

log = logging.getLogger("robustdd.run")

SERVER_LOST = Event()
"""Set when a Prefect server failed while this process used it."""

Waves = Callable[[], Iterator[list[Unit]]]
"""The units of a stage, wave after wave: a wave is asked for when the one before is done."""


def run_units(about: About, waves: Waves, fanout: Fanout) -> list[Outcome]:
    """Run every unit of a stage, as many of a wave at once as there are workers. RobustddError for a unit that failed.

    The artifacts decide, not the server: when Prefect itself fails on the way, the rest runs without it.
    """
    url, since = os.environ.get("PREFECT_API_URL"), time.time()
    name = f"{about.stage} {about.ident}"
    outcomes: dict[str, Outcome] = {}
    if url and answers(url):
        try:
            _live(about, waves, fanout, outcomes)
            return list(outcomes.values())
        except RobustddError:
            raise
        except Exception as trouble:
            SERVER_LOST.set()
            reason = (str(trouble) or type(trouble).__name__).splitlines()[0][:200]
            log.warning("%s: the Prefect server failed (%s); going on without it", name, reason)
    else:
        where = f" at {url}" if url else ""
        log.info("%s: no Prefect server%s; the tasks run directly, with the same cache", name, where)
    _direct(waves, fanout, outcomes, since)
    return list(outcomes.values())


def _live(about: About, waves: Waves, fanout: Fanout, outcomes: dict[str, Outcome]) -> None:
    from flows.live import run_live

    run_live(about, waves(), fanout, outcomes)


def _direct(waves: Waves, fanout: Fanout, outcomes: dict[str, Outcome], since: float) -> None:
    """Run what is not noted in `outcomes` yet.

    What was made after `since` under a server that then failed was made by this run, though nobody told it so.
    """
    with Crew(fanout) as crew:
        for wave in waves():
            left = [unit for unit in wave if unit.name not in outcomes]
            begun = [(unit, crew.submit(unit)) for unit in left]
            note_all([(unit, future.result) for unit, future in begun], outcomes)
            for unit in left:
                facts = facts_left(unit.place, unit.name, since) if outcomes[unit.name].cached else {}
                if facts:
                    outcomes[unit.name] = Outcome(unit.name, False, facts)


def note_all(begun: Sequence[tuple[Unit, Callable[[], Outcome]]], outcomes: dict[str, Outcome]) -> None:
    """Wait for every unit of a wave, note what became of it, and then raise the error of the first that failed."""
    failed: list[BaseException] = []
    for unit, outcome in begun:
        try:
            outcomes[unit.name] = outcome()
        except Exception as error:
            failed.append(told(unit, error))
    if failed:
        raise failed[0]
