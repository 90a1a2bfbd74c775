"""What every test stands on: one thread, and the tiny study, built once a test run."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from tasks.cache import cache as caching
from tests.support.dvc_project import FILE, STAGES, dvc, make_project, small_study
from tests.support.pipeline import built_once, held, run_all
from tests.support.studies import write_study

# Prefect warns, which is an error here, where the folder above its home is not there: as in a fresh clone.
Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser().mkdir(parents=True, exist_ok=True)

# A shell starts what runs in its background deaf to Ctrl-C, and with it every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test run, the same for all its processes."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def built(shared: Path) -> Path:
    """The tiny study with all its artifacts; read only."""
    return built_once(shared / "built" / "tiny", lambda folder: bool(run_all(write_study(folder))))


@pytest.fixture
def study(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the built study to change, where no other study can lend it an artifact."""
    monkeypatch.setattr(caching, "ROOT", tmp_path / "elsewhere")
    return Path(shutil.copytree(built, tmp_path / "studies" / "tiny"))


@pytest.fixture(scope="session")
def project(shared: Path) -> Path:
    """The small study, made by `dvc repro` in a repository of its own; read only."""

    def build(folder: Path) -> None:
        make_project(folder, small_study())
        said = dvc(folder, "repro", FILE)
        assert said.count("executed, 0 cached") == STAGES, said

    return built_once(shared / "dvc" / "project", build)


@pytest.fixture
def copied(project: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    with held(project.with_name("in-use")):
        return Path(shutil.copytree(project, tmp_path / "project", symlinks=True))
