"""Running the stages of a study in a test, and looking at what they left."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from flows.stage import run_stage
from robustdd.study.graph import Place, places
from robustdd.study.load import load_study
from tasks.cache import cache as caching
from tasks.cache.cache import Outcome
from tasks.cache.code import module_of
from tasks.cache.layout import Layout
from tasks.cache.unit import Unit, key_of
from tests.support.studies import tiny_study, write_study

CODE = Path(__file__).resolve().parents[2]
Ran = dict[tuple[str, str], list[Outcome]]


def stages(folder: Path) -> list[Place]:
    """Every stage and id of a study, in an order in which they can run."""
    return places(load_study(folder))


def run(folder: Path, stage: str, ident: str, workers: int = 1, runner: str = "threads") -> list[Outcome]:
    """One stage without a server, in this process; torch is left as it was."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        return run_stage(stage, ident, folder, workers, runner)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)


def run_all(folder: Path, but: Sequence[str] = (), workers: int = 1) -> Ran:
    """Every stage of the study, but those of the names `but`."""
    return {(stage, ident): run(folder, stage, ident, workers) for stage, ident in stages(folder) if stage not in but}


def executed(ran: Ran) -> set[str]:
    """What ran, as `stage id unit`."""
    return {f"{stage} {ident} {one.unit}" for (stage, ident), all_of in ran.items() for one in all_of if not one.cached}


def names(outcomes: Sequence[Outcome]) -> list[str]:
    """Names of the units that ran."""
    return [one.unit for one in outcomes if not one.cached]


def units(folder: Path, stage: str, ident: str) -> list[Unit]:
    """Every unit of a stage; nothing is run."""
    module = caching.importlib.import_module(module_of(stage))
    return [unit for wave in module.waves(load_study(folder), ident, Layout(folder.resolve())) for unit in wave]


def all_units(folder: Path) -> dict[tuple[str, str], list[Unit]]:
    """Every unit of every stage of a study."""
    return {place: units(folder, *place) for place in stages(folder)}


def keys(folder: Path) -> dict[str, str]:
    """Key of every unit of a built study."""
    found = all_units(folder).items()
    return {f"{stage} {ident} {unit.name}": key_of(unit).key for (stage, ident), made in found for unit in made}


def bits(folder: Path, under: str = "") -> dict[str, str]:
    """Sha256 of every file that must repeat, by path under data/: all but the run records, the page and the code's."""
    data = folder / "data"
    files = sorted(path for path in (data / under).rglob("*") if path.is_file())
    names = {str(path.relative_to(data)): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if not name.startswith(("runs/", "code/")) and name != "report.html"
    }


def change(folder: Path, study: Mapping[str, Any]) -> None:
    """Write other params into a study that exists."""
    write_study(folder, dict(study))


def changed(*way: str, to: object) -> dict[str, Any]:
    """The tiny study with one value changed."""
    params = tiny_study()
    section = params
    for name in way[:-1]:
        section = section[name]
    section[way[-1]] = to
    return params


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file among the processes of a test run."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """`folder` as `build` made it, by whichever process of the test run came first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with held(folder.with_name(f"{folder.name}.lock")):
        done = folder.with_name(f"{folder.name}.done")
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
            done.touch()
    return folder


def environment(home: Path, **more: str) -> dict[str, str]:
    """Environment of a subprocess: this code, nothing phones, all stores under `home`, no server unless named."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "COV_", "DVC_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(CODE),
        "OMP_NUM_THREADS": "1",
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": str(home),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home / "results"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        **more,
    }


def call(
    folder: Path, *arguments: str, env: Mapping[str, str], seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """`python -m flows.stage ARGUMENTS` in the folder of a study."""
    command = (sys.executable, "-m", "flows.stage", *arguments)
    return subprocess.run(
        command, cwd=folder, env=dict(env), capture_output=True, text=True, timeout=seconds, check=False
    )
