"""What torch.compile made is kept in the checkout, and another process takes it from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from tasks.cache.code import ROOT
from tasks.cache.unit import Unit
from tasks.cache.worker import WorkerSetup, keep_what_is_compiled
from tests.support.needs import needs_compiler
from tests.support.pipeline import bits, call, change, environment
from tests.support.studies import PLAIN, SGR, tiny_study

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
COMPILES = """
import json, pathlib, sys
from tasks.cache.worker import keep_what_is_compiled
keep_what_is_compiled(pathlib.Path(sys.argv[1]))
import torch
from robustdd.engine.compiling import can_compile
from torch._dynamo.utils import counters
assert can_compile("cpu")
print(json.dumps(counters["inductor"]))
"""


@pytest.fixture(autouse=True)
def no_place_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also afterwards: what a test sets is taken back."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)


def compile_once(root: Path) -> dict[str, Any]:
    command, more = (sys.executable, "-c", COMPILES, str(root)), {"PYTHONPATH": str(ROOT), "TMPDIR": str(root / "tmp")}
    done = subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.soak
@needs_compiler
def test_a_second_process_takes_what_the_first_compiled(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    first, second = compile_once(tmp_path), compile_once(tmp_path)
    assert first["fxgraph_cache_miss"] == 1 and second["fxgraph_cache_hit"] == 1
    assert any(path.is_file() for path in (tmp_path / ".robustdd" / "compiled").rglob("*"))
    elsewhere = {path.name for path in (tmp_path / "tmp").glob("torchinductor*/*")}
    assert elsewhere <= {"precompiled_headers"}  # torch asks nobody where those go


def test_every_unit_is_prepared_so_wherever_it_runs() -> None:
    try:
        WorkerSetup().apply(cast(Unit, None))
    finally:
        torch.set_deterministic_debug_mode("default")
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    assert Path(cache_dir()) == ROOT / ".robustdd" / "compiled" / torch.backends.cpu.get_cpu_capability()


def test_a_place_that_the_user_named_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    keep_what_is_compiled()
    assert os.environ[VARIABLE] == str(tmp_path)


def test_code_that_may_only_be_read_is_not_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    keep_what_is_compiled(tmp_path)
    assert VARIABLE not in os.environ


@pytest.mark.soak
@needs_compiler
def test_compiled_steps_make_the_same_bits_in_one_thread_and_in_two(study: Path, tmp_path: Path) -> None:
    """Two teachers compile at once, as threads of a process that has compiled nothing yet."""
    change(study, {**tiny_study(), "engine": {"compile": "on"}})
    found = []
    for workers in (1, 2):
        env = environment(tmp_path / "home", TORCHINDUCTOR_CACHE_DIR=str(tmp_path / f"compiled-{workers}"))
        for ident in (PLAIN, SGR):
            shutil.rmtree(study / "data" / "teachers" / ident)
            done = call(study, "teachers", ident, "--workers", str(workers), env=env, seconds=900)
            assert done.returncode == 0 and "2 executed, 0 cached" in done.stderr, done.stderr
            assert "nothing can be compiled" not in done.stderr
        found.append(bits(study, "teachers"))
    assert found[0] == found[1]
