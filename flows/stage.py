"""One stage, once, in the folder of the study: `python -m flows.stage STAGE ID`; DVC calls it without words."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from flows.fanout import add_fanout, fanout_for
from flows.naming import about
from flows.record import write_record
from flows.running import SERVER_LOST, run_units
from flows.stopping import INTERRUPTED, exit_code, interrupted, leave_at_once, stop_on_signals, stoppable
from flows.terminal import terminal
from robustdd.errors import RobustddError, UserError
from robustdd.params import Study
from robustdd.store.artifacts import read_manifest
from robustdd.store.disk import told_in_one_line
from robustdd.store.manifest import SUFFIX
from robustdd.study.graph import STAGES, Place, require_id
from robustdd.study.load import load_study
from tasks.cache.cache import Outcome
from tasks.cache.code import module_of
from tasks.cache.code_record import record_code, require_recorded
from tasks.cache.layout import Layout
from tasks.cache.locking import only_writer
from tasks.cache.unit import Unit, made_with_settings_of, stage_code
from tasks.cache.worker import prepare_torch
from tasks.watch.stopping import Stop, Stopped

log = logging.getLogger("robustdd.run")

RUN_BY_DVC = "DVC_STAGE"
"""What DVC sets in the environment of its commands."""


def place_of_dvc(folder: Path) -> Place:
    """Stage and id of the DVC stage that runs this: `distill@ROW`, in a study `studies/NAME/dvc.yaml:distill@ROW`.

    They reach no shell this way, whatever params.yaml holds. Raises UserError where DVC runs nothing.
    """
    stage, _, ident = os.environ.get(RUN_BY_DVC, "").rpartition(":")[2].partition("@")
    if not stage:
        raise UserError("no stage is named; expected `python -m flows.stage STAGE ID`, or a call by `dvc repro`")
    return stage, ident or load_study(folder).name


def run_stage(
    stage: str,
    ident: str,
    folder: Path,
    workers: int | None = None,
    runner: str | None = None,
    address: str | None = None,
) -> list[Outcome]:
    """Bring one stage of the study in `folder` up to date, and prune what its tasks do not make any more.

    `runner`, `workers` and `address` say where its units run, see flows.fanout; no artifact depends on them.
    Raises RobustddError; DVC then records nothing.
    """
    study = load_study(folder)
    require_id(study, stage, ident)
    module = stage_module(stage)
    fanout = fanout_for(study, module.__name__, runner, workers, address)
    layout = Layout(folder.resolve())
    if RUN_BY_DVC in os.environ:
        require_recorded(layout.study, stage)
    _make_folders(layout)
    prepare_torch(study.threads)
    units: dict[str, Unit] = {}
    with only_writer(layout.lock(stage, ident)), stoppable(Stop(layout.stop(stage, ident))):
        told = about(study, stage, ident, layout)
        own = layout.artifact(stage, ident)
        outcomes = run_units(told, lambda: _noted(module.waves(study, ident, layout), units, own), fanout)
        if stage_code(module.__name__) != fanout.setup.code:
            raise RobustddError(f"{stage} {ident}: its code changed while it ran; run again")
        if RUN_BY_DVC not in os.environ:
            record_code(layout.study, [stage])
        _prune(own, list(units))
        write_record(layout, stage, ident, outcomes)
        _finish(module, study, layout)
    return outcomes


def stage_module(stage: str) -> ModuleType:
    """The module of a stage's tasks."""
    return importlib.import_module(module_of(stage))


def _make_folders(layout: Layout) -> None:
    """A folder for every stage: DVC wants all that `report` depends on to exist, also in a study without rows."""
    for stage in STAGES:
        layout.artifact(stage, "").mkdir(parents=True, exist_ok=True)


def _noted(waves: Iterator[list[Unit]], units: dict[str, Unit], own: Path) -> Iterator[list[Unit]]:
    for wave in waves:
        units |= {unit.name: unit for unit in wave}
        if RUN_BY_DVC in os.environ:
            _refuse_other_settings(wave, own)
        yield wave


def _refuse_other_settings(wave: Iterable[Unit], own: Path) -> None:
    """What DVC records comes from one state of the settings.

    A stage does not name what stands in the keys of what it reads: a value that is changed between two stages, and back
    later, would never be seen. Raises UserError.
    """
    for unit in wave:
        for needed in unit.inputs.values():
            there = needed.folder.joinpath(f"{needed.name}{SUFFIX}").is_file()
            if needed.folder != own and there and not made_with_settings_of(needed, unit):
                raise UserError(
                    f"{needed.folder.parent.name} {needed.folder.name} was made with other settings than these: "
                    "run `dvc repro` for what comes before, too; or `python -m flows.stage` for this stage alone"
                )


def _prune(folder: Path, names: Sequence[str]) -> None:
    """Remove what no unit of the stage makes: DVC leaves the folder of a `persist` out as it is."""
    kept = {f"{name}.manifest.json" for name in names}
    for name in names:
        kept |= set(read_manifest(folder, name).files)
    for path in sorted(folder.iterdir()):
        if path.name not in kept:
            log.info("%s: removed, no task of this stage makes it any more", path.name)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _finish(module: ModuleType, study: Study, layout: Layout) -> None:
    finish = getattr(module, "finish", None)
    if finish is not None:
        finish(study, layout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 when all is whole, 2 for the user's mistakes, 1 for other failures, 128 + n for signal n.

    A run that is cancelled in the UI ends as by Ctrl-C: what has checkpoints saves one, the next run goes on from it.
    """
    parser = argparse.ArgumentParser(prog="python -m flows.stage", description=__doc__)
    parser.add_argument(
        "place", nargs="*", metavar="STAGE ID", help=f"{', '.join(STAGES)}; as DVC_STAGE says if left out"
    )
    add_fanout(parser)
    asked = parser.parse_args(arguments)
    clock = time.monotonic()
    try:
        with terminal(), told_in_one_line(Path.cwd()):
            stage, ident = _place(asked.place, Path.cwd())
            outcomes = run_stage(stage, ident, Path.cwd(), asked.workers, asked.runner, asked.address)
    except Stopped as stop:
        print(f"error: {stop}", file=sys.stderr)
        return exit_code(stop)
    except RobustddError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stop:
        print(INTERRUPTED, file=sys.stderr)
        return exit_code(stop)
    cached = sum(outcome.cached for outcome in outcomes)
    done = f"{len(outcomes) - cached} executed, {cached} cached"
    print(f"{stage} {ident}: {done}, {time.monotonic() - clock:.1f} s", file=sys.stderr)
    return 0


def _place(words: Sequence[str], folder: Path) -> Place:
    if not words:
        return place_of_dvc(folder)
    if len(words) != 2:
        raise UserError(f"expected a stage and an id, found {len(words)} words; `python -m flows.stage STAGE ID`")
    return words[0], words[1]


def leave(code: int) -> NoReturn:
    """End the process; at once where nobody waits for what runs, or for a lost server: Prefect tells it every event."""
    if SERVER_LOST.is_set() or interrupted():
        leave_at_once(code)
    sys.exit(code)


if __name__ == "__main__":
    stop_on_signals()
    leave(main())
