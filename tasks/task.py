"""Prefect's side of the cache: the policy that keeps its result store in step with the artifacts' manifests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.results import ResultStore, get_result_store
from prefect.states import Cancelled

from robustdd.errors import RobustddError
from tasks.cache.cache import find, task_of
from tasks.cache.produce import produce
from tasks.cache.unit import Unit, key_of
from tasks.cache.worker import WorkerSetup
from tasks.watch.live import LiveWatch
from tasks.watch.stopping import Stopped


@dataclass
class ArtifactPolicy(CachePolicy):
    """Key of a unit; before it is returned the result store holds a record if, and only if, the artifact is valid."""

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **_: Any
    ) -> str | None:
        """The unit's key; None for a missing or damaged input: the task then runs and fails with its own message."""
        unit: Unit = inputs["unit"]
        try:
            key = key_of(unit)
            valid = find(unit, key)
        except RobustddError:
            return None
        # `_sync` is Prefect's own switch for calling an either-or function from a thread without a loop.
        store: Any = get_result_store()
        _reconcile(store.update_for_task(task_ctx.task, _sync=True), key.key, valid)
        return key.key


def _reconcile(store: ResultStore, key: str, valid: bool) -> None:
    recorded = store.exists(key)
    if valid and not recorded:
        store.write(obj={}, key=key)
    elif recorded and not valid:
        basepath = getattr(store.result_storage, "basepath", None)
        if basepath is not None:
            (Path(basepath).expanduser() / key).unlink(missing_ok=True)


def prefect_task(name: str) -> Task[[Unit, WorkerSetup], dict[str, Any]]:
    """Prefect task over a body. Not retried: what fails here fails again; a killed one resumes from its checkpoint.

    One that is stopped ends Cancelled, with the line of its `Stopped` as the state's message. The body is looked up
    where it runs, so that another process runs the code whose key it takes.
    """

    def run(unit: Unit, setup: WorkerSetup) -> Any:
        setup.apply(unit)
        watch = LiveWatch(unit)
        try:
            return produce(unit, task_of(unit).body, watch)
        except Stopped as stop:
            return Cancelled(message=str(stop))
        finally:
            watch.close()

    return task(
        name=name,
        task_run_name="{unit.place} {unit.name}",
        cache_policy=ArtifactPolicy(),
        persist_result=True,
        result_serializer="json",
    )(run)
