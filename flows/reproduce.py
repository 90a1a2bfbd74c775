"""A whole study as one flow: `python -m flows.reproduce STUDY`, every stage as soon as what it needs is there.

It leaves what `dvc repro` would leave: that finds every task cached afterwards, and `dvc commit` records it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path

from flows.fanout import add_fanout, ended, fanout_for
from flows.running import SERVER_LOST
from flows.server import answers
from flows.stage import leave, run_stage, stage_module
from flows.stopping import INTERRUPTED, asked, exit_code, stop_on_signals
from flows.terminal import terminal
from robustdd.errors import RobustddError
from robustdd.store.disk import told_in_one_line
from robustdd.study.graph import Place, needs
from robustdd.study.load import load_study
from tasks.cache.cache import Outcome
from tasks.cache.code_record import record_code
from tasks.cache.layout import Layout
from tasks.watch.stopping import Stopped

log = logging.getLogger("robustdd.run")

Run = Callable[[Place, int], list[Outcome]]
"""Runs one stage with so many workers."""


@dataclass
class Progress:
    """What became of the stages of a study."""

    done: dict[Place, list[Outcome]] = field(default_factory=dict)
    failed: dict[Place, RobustddError] = field(default_factory=dict)
    not_run: dict[Place, Place] = field(default_factory=dict)
    """Stages that need another, failed one, and which."""

    def ended(self) -> set[Place]:
        """Every stage that need not be begun any more."""
        return {*self.done, *self.failed, *self.not_run}


def run_all(
    table: dict[Place, frozenset[Place]], width: Callable[[Place], int], workers: int, run: Run, progress: Progress
) -> None:
    """Run every stage after those that it needs, independent ones at once, within `workers` workers in all.

    A stage keeps its share of the workers to its end, at most as many as it has tasks (`width`). One that fails takes
    those with it that need it, and no other. What stands in `progress` is not run again. Raises Stopped when this
    process is asked to stop and something is left.
    """
    left = {place: needed for place, needed in table.items() if place not in progress.ended()}
    running: dict[Future[list[Outcome]], tuple[Place, int]] = {}
    with ended(ThreadPoolExecutor(workers)) as stages:
        while running or (left and asked() is None):
            _give_up(left, progress)
            ready = [place for place, needed in left.items() if needed <= progress.done.keys() and asked() is None]
            free = workers - sum(share for _, share in running.values())
            for index, place in enumerate(ready[:free]):
                share = min(width(place), max(1, free // (len(ready) - index)))
                free -= share
                del left[place]
                running[stages.submit(copy_context().run, run, place, share)] = (place, share)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                place, _ = running.pop(future)
                try:
                    progress.done[place] = future.result()
                except RobustddError as error:
                    progress.failed[place] = error
    stopped = [place for place, error in progress.failed.items() if isinstance(error, Stopped)]
    if (reason := asked()) is not None and (left or stopped):
        raise Stopped(f"{len(left) + len(stopped)} stages are left: {reason}; what is finished is kept")


def _give_up(left: dict[Place, frozenset[Place]], progress: Progress) -> None:
    """Take out the stages that need one that failed, or one that is not run for that."""
    for place in list(left):  # in order: what a stage needs stands before it
        lost = [other for other in left[place] if other in progress.failed or other in progress.not_run]
        if lost:
            progress.not_run[place] = min(lost)
            del left[place]


def reproduce(
    folder: Path, workers: int | None = None, runner: str | None = None, address: str | None = None
) -> Progress:
    """Bring every stage of the study in `folder` up to date, under a Prefect server that answers or without.

    Raises RobustddError for a study or flags that are wrong, before anything runs.
    """
    study, layout = load_study(folder), Layout(folder.resolve())
    total = fanout_for(study, "tasks.stages.images", runner, workers, address).workers
    progress = Progress()
    record_code(layout.study)  # every file that DVC asks for: a study may be without some of the stages

    def width(place: Place) -> int:
        try:
            return max(1, len(next(stage_module(place[0]).waves(study, place[1], layout), [])))
        except RobustddError:  # which its run will tell
            return 1

    def run(place: Place, share: int) -> list[Outcome]:
        return run_stage(*place, folder, share, runner, address)

    def body() -> None:
        run_all(needs(study), width, total, run, progress)

    url = os.environ.get("PREFECT_API_URL")
    if url and answers(url):
        from flows.live_study import run_as_flow

        try:
            run_as_flow(study.name, body)
        except Stopped:
            raise
        except Exception as trouble:
            SERVER_LOST.set()
            reason = (str(trouble) or type(trouble).__name__).splitlines()[0][:200]
            log.warning("%s: the Prefect server failed (%s); going on without it", study.name, reason)
    body()
    return progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 when all is whole, 2 for a wrong study or flag, 1 when a stage failed, 128 + n for signals."""
    parser = argparse.ArgumentParser(prog="python -m flows.reproduce", description=__doc__)
    parser.add_argument("study", nargs="?", default=".", help="folder of a params.yaml (default: this one)")
    add_fanout(parser)
    given = parser.parse_args(arguments)
    clock = time.monotonic()
    try:
        with terminal(), told_in_one_line(Path(given.study)):
            progress = reproduce(Path(given.study), given.workers, given.runner, given.address)
    except Stopped as stop:
        print(f"error: {stop}", file=sys.stderr)
        return exit_code(stop)
    except RobustddError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stop:
        print(INTERRUPTED, file=sys.stderr)
        return exit_code(stop)
    for failure in progress.failed.values():
        print(f"error: {failure}", file=sys.stderr)
    for (stage, ident), lost in progress.not_run.items():
        print(f"error: {stage} {ident}: not run, for {' '.join(lost)} is not there", file=sys.stderr)
    outcomes = [one for done in progress.done.values() for one in done]
    cached = sum(one.cached for one in outcomes)
    told = f"{len(progress.done)} stages, {len(outcomes) - cached} executed, {cached} cached"
    print(f"{given.study}: {told}, {time.monotonic() - clock:.1f} s", file=sys.stderr)
    return 1 if progress.failed else 0


if __name__ == "__main__":
    stop_on_signals()
    leave(main())
