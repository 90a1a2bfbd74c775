"""The run record of a stage: what varies between two runs with equal results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from robustdd.store.artifacts import write_atomically
from tasks.cache.cache import Outcome
from tasks.cache.layout import Layout
from tasks.cache.made import clear, left


def write_record(layout: Layout, stage: str, ident: str, outcomes: Sequence[Outcome]) -> None:
    """Write commit, device, versions and durations of every unit; a cached unit keeps what its own run left.

    A unit whose run nobody recorded (it came by `dvc pull`, or from another study) stands with empty facts.
    """
    path, place = layout.run_record(stage, ident), layout.place(stage, ident)
    before = _read(layout, stage, ident)
    units = {
        one.unit: (left(place, one.unit) or before.get(one.unit, {})) if one.cached else one.facts for one in outcomes
    }
    text = json.dumps({"stage": stage, "id": ident, "units": units}, indent=1, sort_keys=True)
    write_atomically(path, f"{text}\n".encode())
    clear(place)


def _read(layout: Layout, stage: str, ident: str) -> dict[str, Any]:
    try:
        units: dict[str, Any] = json.loads(layout.run_record(stage, ident).read_bytes())["units"]
    except (OSError, ValueError, KeyError):
        return {}
    return units
