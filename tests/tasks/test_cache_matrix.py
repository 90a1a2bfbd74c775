"""Every line of the table in docs/cache.md, by doing what it says to a built study."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from ruamel.yaml import YAML, YAMLError

from tasks.cache import cache as caching
from tasks.cache.cache import Outcome
from tests.support.dvc_project import DVC_STAGES, FILE, STUDY, dvc, project_environment
from tests.support.pipeline import Ran, bits, call, change, changed, environment, executed, flip, run, run_all
from tests.support.studies import CELL, PLAIN, SGR, tiny_study
from tests.tasks.cache_matrix import DOCUMENT, MATRIX, written
from tests.tasks.test_adoption import twin

__all__ = ["twin"]
ROWS = list(tiny_study()["rows"])
OURS = f"{CELL}-ours-ipc1-s0"
ONE_OF_EACH = {
    "images digits test": "test.safetensors",
    f"labels {CELL} labels": "labels.parquet",
    f"forgetting {CELL} half-s0-ab": "half-s0-ab.parquet",
    f"teachers {SGR} teacher-001": "teacher-001.safetensors",
    f"consistency {SGR} consistency-000": "consistency-000.parquet",
    f"subset {SGR} reliability": "reliability.parquet",
    f"finetune {SGR} clean-target-001": "clean-target-001.safetensors",
    f"distill {OURS} distilled": "saved.safetensors",
    f"train-full {CELL} seed-1": "seed-1.json",
    f"evaluate {OURS} seed-0": "seed-0.json",
}


def counts(ran: Ran | Sequence[Outcome]) -> tuple[int, int]:
    """Executed and cached tasks."""
    every = [one for outcomes in ran.values() for one in outcomes] if isinstance(ran, dict) else list(ran)
    cached = sum(one.cached for one in every)
    return len(every) - cached, cached


def told(name: str) -> tuple[int, int]:
    return MATRIX[name].executed, MATRIX[name].cached


def everything(study: Path) -> Ran:
    return run_all(study, but=("report",))


def test_the_document_holds_the_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert written(text) == text, "run `python -m tests.tasks.cache_matrix`"


def test_nothing_runs_again(study: Path) -> None:
    assert counts(everything(study)) == told("nothing")


@pytest.mark.parametrize(("name", "harm"), [("deleted", Path.unlink), ("tampered", flip)])
def test_a_harmed_file_runs_its_own_task_alone(study: Path, name: str, harm: Callable[[Path], None]) -> None:
    before = bits(study)
    for unit, file in ONE_OF_EACH.items():
        harm(study / "data" / "/".join(unit.split()[:2]) / file)
    ran = everything(study)
    assert executed(ran) == set(ONE_OF_EACH) and counts(ran) == told(name) and bits(study) == before


def test_what_is_new_runs_and_what_is_gone_is_pruned(study: Path) -> None:
    before = bits(study)
    change(study, changed("evaluate", "seeds", to=[0, 1, 2]))
    ran = everything(study)
    assert executed(ran) == {f"evaluate {row} {unit}" for row in ROWS for unit in ("seed-2", "accuracy")}
    assert counts(ran) == told("seed")
    change(study, tiny_study())
    assert counts(everything(study)) == told("no seed") and bits(study) == before
    params, row = tiny_study(), f"{CELL}-ours-ipc1-s1"
    params["rows"][row] = {**params["rows"][OURS], "seed": 1}
    change(study, params)
    ran = everything(study)
    assert all(row in unit for unit in executed(ran)) and counts(ran) == told("row")
    change(study, tiny_study())
    assert counts(everything(study)) == told("no row")


def test_teachers_whose_blend_changed_train_again(study: Path) -> None:
    for name, count in (("more teachers", 3), ("fewer teachers", 2)):
        change(study, changed("teachers", "num_teachers", to=count))
        ran = {("teachers", view): run(study, "teachers", view) for view in (PLAIN, SGR)}
        assert counts(ran) == told(name)
        assert len(list((study / "data/teachers" / PLAIN).glob("*.safetensors"))) == count


def test_a_second_study_trains_nothing(study: Path, twin: Path) -> None:
    shutil.rmtree(twin / "data")
    assert counts(everything(twin)) == told("twin")
    assert bits(twin) == {name: sha for name, sha in bits(study).items() if not name.startswith("report/")}


@pytest.mark.timeout(600)
def test_code_that_is_edited_mid_run_is_not_recorded(copied: Path) -> None:
    code = copied / "tasks/stages/labels.py"
    text, before = code.read_text(), recorded(copied)
    edit = "    from pathlib import Path\n    Path(__file__).write_text(Path(__file__).read_text() + 'EDITED = 1\\n')\n"
    head = "    noise: Noise = unit.params"
    made_it = text.replace(head, edit + head)
    code.write_text(made_it)
    said = dvc(copied, "repro", f"{FILE}:labels@{CELL}", code=MID_RUN_EXIT)
    assert "its code changed while it ran" in said and told("mid-run") == (1, 0)
    assert recorded(copied) == before and code.read_text() != made_it
    code.write_text(made_it)
    assert counted(dvc(copied, "repro", f"{FILE}:labels@{CELL}")) == told("restored")
    assert recorded(copied) != before


def recorded(project: Path) -> object:
    """What dvc.lock says of the stage `labels`."""
    return YAML(typ="safe").load((project / STUDY / "dvc.lock").read_text())["stages"][f"labels@{CELL}"]


@pytest.mark.timeout(600)
def test_an_edit_of_what_all_stages_share_reaches_them_all(copied: Path) -> None:
    code = copied / "robustdd/exactness.py"
    text = code.read_text()
    code.write_text(f"# A remark.\n{text}")
    said = dvc(copied, "repro", FILE)
    assert said.count("Running stage") == 1 and "Running stage 'studies/tiny/dvc.yaml:code'" in said
    assert counted(said) == told("comment")
    code.write_text(f"{text}EDITED = 1\n")
    said = dvc(copied, "repro", FILE)
    assert said.count("Running stage") == DVC_STAGES and counted(said) == told("code for all")


MID_RUN_EXIT = 255


def counted(said: str) -> tuple[int, int]:
    """The sum of the counts that stages tell."""
    told_by_each = [(int(found[0]), int(found[1])) for found in re.findall(r"(\d+) executed, (\d+) cached", said)]
    return sum(executed for executed, _ in told_by_each), sum(cached for _, cached in told_by_each)


def test_a_killed_stage_goes_on_where_it_was(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(study, changed("teachers", "epochs", to=16))
    whole = Path(shutil.copytree(study, tmp_path / "whole/studies/tiny"))
    run(whole, "teachers", PLAIN)
    folder = study / "data/teachers" / PLAIN
    shutil.rmtree(folder)
    env = environment(tmp_path / "home")
    command = (sys.executable, "-m", "flows.stage", "teachers", PLAIN, "--workers", "1")
    process = subprocess.Popen(command, cwd=study, env=env, stderr=subprocess.DEVNULL, start_new_session=True)
    second = study / ".robustdd/checkpoints/teachers" / PLAIN / "teacher-001"
    deadline = time.monotonic() + 120
    while not list(second.glob("step-*[0-9]")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed"
    assert not (folder / "teacher-001.manifest.json").exists()
    done = call(study, "teachers", PLAIN, "--workers", "1", env=env)
    assert counted(done.stderr) == told("killed"), done.stderr
    assert bits(study, "teachers") == bits(whole, "teachers")
    monkeypatch.setattr(caching, "ROOT", tmp_path / "elsewhere")
    assert not list((study / ".robustdd/checkpoints").rglob("step-*"))


def drop_half_written(lock: Path, rwlock: Path) -> None:
    """What docs/trouble.md says to do: DVC truncates both before it writes them, and a kill may come between."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    with suppress(FileNotFoundError):
        try:
            json.loads(rwlock.read_text())
        except json.JSONDecodeError:
            rwlock.unlink()
    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(lock.read_text()))
    except FileNotFoundError:
        return
    except (YAMLError, Invalid):
        lock.unlink()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_dvc_killed_with_all_that_it_started_goes_on(copied: Path) -> None:
    """kill -9 of the process group at ten moments of a build, and then one that is let finish: the same bits."""
    before, study = bits(copied / STUDY), copied / STUDY
    shutil.rmtree(study / "data")
    shutil.rmtree(copied / ".dvc/cache")
    (study / "dvc.lock").unlink()
    moments = random.Random(0)
    for _ in range(10):
        process = subprocess.Popen(
            ("dvc", "repro", FILE),
            cwd=copied,
            env=project_environment(copied),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(4, 20))
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
        drop_half_written(study / "dvc.lock", copied / ".dvc/tmp/rwlock")
    dvc(copied, "repro", FILE)
    assert bits(study) == before and not list((study / ".robustdd/checkpoints").rglob("step-*"))
    assert dvc(copied, "status", FILE).strip() == "Data and pipelines are up to date."
