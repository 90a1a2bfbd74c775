"""What a run knows of the units that it has made, until its stage writes it into the run record.

A unit tells it before anybody else hears of it: a run that is killed later, or a server that dies before it was told,
takes neither the facts with it nor the count.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

from robustdd.store.artifacts import write_atomically
from tasks.cache.layout import Place


def leave(place: Place, name: str, facts: dict[str, Any]) -> None:
    """Leave the facts of a unit that has just been made."""
    write_atomically(place.layout.made(place) / f"{name}.json", (json.dumps(facts, sort_keys=True) + "\n").encode())


def left(place: Place, name: str, since: float = 0.0) -> dict[str, Any]:
    """The facts that a unit left after `since` (seconds, this machine's clock); empty where there are none."""
    path = place.layout.made(place) / f"{name}.json"
    try:
        if path.stat().st_mtime < since:
            return {}
        facts: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return facts


def clear(place: Place) -> None:
    """Forget all facts of a place; for after they stand in the run record."""
    shutil.rmtree(place.layout.made(place), ignore_errors=True)
