"""Making one artifact: the key is frozen first, the body computes, the files are published with their manifest."""

from __future__ import annotations

import logging
import platform
import time
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any

import torch

from robustdd.devices import device_model, resolve
from robustdd.engine.compiling import carried_out
from robustdd.engine.means import means_of
from robustdd.errors import RobustddError
from robustdd.store.artifacts import publish, writable
from robustdd.store.binding import bound_to
from robustdd.store.provenance import commit
from tasks.cache.made import leave
from tasks.cache.unit import Body, Key, Unit, Work, key_of
from tasks.watch.gpu import gauged
from tasks.watch.progress import Reporter, WatchedCheckpoints, Watcher, unwatched
from tasks.watch.stopping import Stop

log = logging.getLogger("robustdd.run")

VERSIONS = ("torch", "numpy", "faiss-cpu", "faiss-gpu", "prefect", "dvc", "pyarrow")


def produce(unit: Unit, body: Body, watcher: Watcher = unwatched) -> dict[str, Any]:
    """Make the artifact of `unit` and return the facts of this run that no key determines.

    Raises Stopped, before it begins or later, when the stage is asked to stop; what is computed is then checkpointed.
    Raises RobustddError after publishing when code or inputs moved meanwhile. The artifact keeps the key of the code
    that made it; DVC hashes dependencies after the command and must not record the new code with the old result.
    """
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    frozen = key_of(unit)
    writable(unit.folder)
    facts = _facts(unit)
    reporter = Reporter(unit.name, Stop.of(unit.place), watcher)
    reporter.end_if_asked("before it began")
    folder = unit.place.layout.checkpoints(unit.place, unit.name)
    checkpoints = WatchedCheckpoints(folder, _binding(frozen, facts), reporter)
    try:
        with gauged(unit.name, resolve(unit.params.get("device", "cpu"))):
            made = body(unit, Work(checkpoints, reporter))
    finally:
        reporter.close()
    publish(
        unit.folder,
        unit.name,
        made.files,
        task=unit.task,
        key=frozen.key,
        params=frozen.params,
        inputs=frozen.inputs,
        code=frozen.code,
        notes=dict(made.notes),
    )
    facts |= {"started": started, "seconds": round(time.monotonic() - clock, 2)}
    leave(unit.place, unit.name, facts)
    checkpoints.clear()
    _refuse_moved(unit, frozen)
    return facts


def _binding(frozen: Key, facts: dict[str, Any]) -> dict[str, str]:
    """What a checkpoint must share with the run that resumes from it: with its artifact, and the machine."""
    known: list[str] = [name for name in ("device", "threads", "torch", "compiled") if name in facts]
    machine = {name: str(facts[name]) for name in known}
    return {**bound_to(frozen.params, frozen.inputs, frozen.code), **machine}


def _refuse_moved(unit: Unit, frozen: Key) -> None:
    now = key_of(unit)
    if now.key != frozen.key:
        what = "code" if now.code != frozen.code else "inputs"
        raise RobustddError(
            f"{unit.place} {unit.name}: its {what} changed while it ran; the result is kept under the {what} "
            "that made it and is not recorded; run again"
        )


def _facts(unit: Unit) -> dict[str, Any]:
    device = resolve(unit.params.get("device", "cpu"))
    versions = {name: _version(name) for name in VERSIONS}
    engine = unit.params.get("engine")
    means: dict[str, Any] = {}
    if engine:
        possible = carried_out(engine, device.type)
        means["arithmetic"] = means_of(possible, torch.empty(0, device=device)).arithmetic
        if engine.compile == "on":
            means["compiled"] = possible.compile == "on"
    return {
        **means,
        "commit": commit(),
        "device": device_model(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "versions": {name: version for name, version in versions.items() if version},
    }


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
