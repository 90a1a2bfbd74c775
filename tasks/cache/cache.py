"""The cached task: a body of work whose artifact's manifest, not Prefect's record, says whether it must run.

Prefect's result store is a mirror. Before a task runs, the policy compares the unit's key with the manifest beside its
files: a valid artifact without a record gets one (the UI shows Cached), a record without a valid artifact is removed.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustdd.errors import CorruptArtifact, RobustddError
from robustdd.store.artifacts import Manifest, publish, recover, verify
from tasks.cache.code import ROOT, module_of
from tasks.cache.produce import produce
from tasks.cache.unit import Body, Key, Unit, key_of

if TYPE_CHECKING:
    from prefect import Task

    from tasks.cache.worker import WorkerSetup

log = logging.getLogger("robustdd.run")


@dataclass(frozen=True)
class Outcome:
    """What became of a unit: made now, or found; and the facts of the run that made it, when that was now."""

    unit: str
    cached: bool
    facts: dict[str, Any]


@dataclass(frozen=True)
class CachedTask:
    """A task's body with the cache around it."""

    body: Body
    name: str

    def direct(self, unit: Unit) -> Outcome:
        """Run without a server: the same cache, the same artifact, the same counts."""
        if find(unit, key_of(unit)):
            return Outcome(unit.name, True, {})
        return Outcome(unit.name, False, produce(unit, self.body))

    @cached_property
    def live(self) -> Task[[Unit, WorkerSetup], dict[str, Any]]:
        """The same as a Prefect task; its result is a small JSON object."""
        from tasks.task import prefect_task

        return prefect_task(self.name)


def cached_task(name: str) -> Callable[[Body], CachedTask]:
    """Declare a cached task: its body reads the unit's inputs, calls the core, returns files and deterministic notes.

    `name` is the stage's and its own, such as `teachers.train`: it stands in keys, so that a function may be renamed.
    """
    return lambda body: CachedTask(body, name)


def task_of(unit: Unit) -> CachedTask:
    """The task that a unit names."""
    declared = vars(importlib.import_module(module_of(unit.stage))).values()
    return next(task for task in declared if isinstance(task, CachedTask) and task.name == unit.task)


def find(unit: Unit, key: Key) -> bool:
    """Whether the unit's artifact is in place and whole, if need be taken from a study with the same key."""
    recover(unit.folder, unit.name)
    if _valid(unit, key):
        return True
    return any(_adopt(unit, key, folder) for folder in _twins(unit, key))


def _valid(unit: Unit, key: Key) -> bool:
    if not _manifest_path(unit.folder, unit.name).is_file():
        return False
    try:
        manifest = verify(unit.folder, unit.name)
    except CorruptArtifact as damage:
        log.warning("%s; it is made again", str(damage).split(";")[0])
        return False
    return manifest.key == key.key


def _twins(unit: Unit, key: Key) -> Iterator[Path]:
    for study in (ROOT, *sorted((ROOT / "studies").glob("*/"))):
        for path in sorted((study / "data" / unit.place.stage).glob(f"*/{unit.name}.manifest.json")):
            if path.parent != unit.folder and _key_in(path) == key.key:
                yield path.parent


def _key_in(path: Path) -> str | None:
    try:
        key: str | None = json.loads(path.read_bytes()).get("key")
    except (ValueError, OSError, AttributeError):
        return None
    return key


def _adopt(unit: Unit, key: Key, folder: Path) -> bool:
    try:
        manifest = verify(folder, unit.name)
        files = {name: _copier(folder / name) for name in manifest.files}
        _publish_as(unit, manifest, files)
    except RobustddError:
        return False
    log.info("%s: taken from %s", unit.name, folder)
    return _valid(unit, key)


def _copier(source: Path) -> Callable[[Path], None]:
    def copy(target: Path) -> None:
        import shutil

        shutil.copyfile(source, target)

    return copy


def _publish_as(unit: Unit, manifest: Manifest, files: dict[str, Callable[[Path], None]]) -> None:
    publish(
        unit.folder,
        unit.name,
        files,
        task=manifest.task,
        key=manifest.key,
        params=manifest.params,
        inputs=manifest.inputs,
        code=manifest.code,
        notes=manifest.notes,
    )


def _manifest_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.manifest.json"
