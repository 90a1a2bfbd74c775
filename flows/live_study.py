"""A whole study as one Prefect flow run: the flow runs of its stages stand under it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from flows.stopping import ask_all, heeded
from robustdd.store.provenance import commit
from tasks.watch.stopping import Stopped


def run_as_flow(study: str, body: Callable[[], None]) -> None:
    """Run `body` within a flow run that is named by the study; cancelled in the UI, it raises Stopped."""
    import flows.live  # noqa: F401  # first: it sets what Prefect reads on import

    from prefect import flow, tags  # isort: skip
    from prefect.exceptions import CancelledRun  # isort: skip
    from prefect.runtime import flow_run  # isort: skip
    from prefect.states import Cancelled  # isort: skip

    from flows.flow_runs import cancellable  # isort: skip
    from flows.runners import KeptHere  # isort: skip

    stopped: list[Stopped] = []

    def drive() -> Any:
        try:
            with cancellable(UUID(flow_run.id), ask_all), heeded():
                body()
        except Stopped as stop:
            stopped.append(stop)
            return Cancelled(message=str(stop))
        return None

    kept = KeptHere(drive)

    @flow(name="reproduce", flow_run_name=f"reproduce {study}", validate_parameters=False)
    def reproduce() -> Any:
        return kept()

    with tags(f"study:{study}", f"commit:{commit()}"), suppress(CancelledRun):
        reproduce()
    if stopped:
        raise stopped[0]
