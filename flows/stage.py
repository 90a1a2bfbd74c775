"""One stage, once: what a DVC stage calls, `python -m flows.stage STAGE ID`, in the folder of the study."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import torch

from flows.record import write_record
from flows.running import SERVER_LOST, run_units
from robustdd.artifacts import read_manifest
from robustdd.errors import RobustddError, UserError
from robustdd.params import Study
from robustdd.study import load_study, require_id
from tasks.caching import Outcome
from tasks.layout import Layout
from tasks.locking import only_writer
from tasks.units import Unit

log = logging.getLogger("robustdd.run")

STAGES = (
    *("images", "labels", "forgetting", "teachers", "consistency", "subset", "finetune"),
    *("distill", "train-full", "evaluate", "report"),
)


def run_stage(stage: str, ident: str, folder: Path, workers: int | None = None) -> list[Outcome]:
    """Bring one stage of the study in `folder` up to date, and prune what its tasks do not make any more.

    Raises RobustddError; DVC then records nothing.
    """
    study = load_study(folder)
    require_id(study, stage, ident)
    if workers is not None and workers < 1:
        raise UserError(f"--workers: expected 1 or more, found {workers}")
    module = importlib.import_module(f"tasks.{stage.replace('-', '_')}")
    layout = Layout(folder.resolve())
    _make_folders(layout)
    torch.set_num_threads(study.threads)
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32: PyTorch's default rounds a GPU's convolutions
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms does the same and imports a compiler
    units: dict[str, Unit] = {}
    with only_writer(layout.lock(stage, ident)):
        outcomes = run_units(
            stage,
            ident,
            lambda: _noted(module.waves(study, ident, layout), units),
            workers or max(1, (os.cpu_count() or 1) // study.threads),
            (f"study:{study.name}", f"stage:{stage}", f"id:{ident}"),
        )
        _prune(layout.artifact(stage, ident), list(units))
        write_record(layout, stage, ident, outcomes)
        _finish(module, study, layout)
    return outcomes


def _make_folders(layout: Layout) -> None:
    """A folder for every stage: DVC wants all that `report` depends on to exist, also in a study without rows."""
    for stage in STAGES:
        layout.artifact(stage, "").mkdir(parents=True, exist_ok=True)


def _noted(waves: Iterator[list[Unit]], units: dict[str, Unit]) -> Iterator[list[Unit]]:
    for wave in waves:
        units |= {unit.name: unit for unit in wave}
        yield wave


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


def _log_to_terminal() -> None:
    """Show the project's own lines, plain; Prefect's loggers, which print tracebacks, have no handler here."""
    logger = logging.getLogger("robustdd")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.setLevel(logging.INFO)
    logger.propagate = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 when the artifact is whole, 2 for the user's mistakes, 1 for other failures, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m flows.stage", description=__doc__)
    parser.add_argument("stage", help=", ".join(STAGES))
    parser.add_argument("id", help="dataset, cell, view or row, as params.yaml names it")
    parser.add_argument("--workers", type=int, help="tasks at once; cannot change a result (default: cores / threads)")
    asked = parser.parse_args(arguments)
    _log_to_terminal()
    clock = time.monotonic()
    try:
        outcomes = run_stage(asked.stage, asked.id, Path.cwd(), asked.workers)
    except RobustddError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted; what is finished is kept", file=sys.stderr)
        return 130
    cached = sum(outcome.cached for outcome in outcomes)
    done = f"{len(outcomes) - cached} executed, {cached} cached"
    print(f"{asked.stage} {asked.id}: {done}, {time.monotonic() - clock:.1f} s", file=sys.stderr)
    return 0


def leave(code: int) -> NoReturn:
    """End the process; at once when a server was lost: Prefect would try for seconds to tell it every event."""
    if SERVER_LOST.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
