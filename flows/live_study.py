"""A whole study as one Prefect flow run: the flow runs of its stages stand under it."""

from __future__ import annotations

from collections.abc import Callable

from tasks.producing import commit


def run_as_flow(study: str, body: Callable[[], None]) -> None:
    """Run `body` within a flow run that is named by the study."""
    import flows.live  # noqa: F401  # first: it sets what Prefect reads on import

    from prefect import flow, tags  # isort: skip

    from flows.runners import KeptHere  # isort: skip

    kept = KeptHere(body)

    @flow(name="reproduce", flow_run_name=f"reproduce {study}", validate_parameters=False)
    def reproduce() -> None:
        kept()

    with tags(f"study:{study}", f"commit:{commit()}"):
        reproduce()
