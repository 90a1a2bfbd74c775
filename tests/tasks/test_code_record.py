"""The record of every stage's code, on which DVC decides whether the stage runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robustdd.errors import UserError
from robustdd.study.graph import STAGES
from tasks.cache import code
from tasks.cache.code import code_hash, module_of
from tasks.cache.code_record import code_of, record_code, recorded_in, require_recorded
from tests.support.pipeline import CODE, environment, run
from tests.support.studies import CELL


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this code, to edit."""
    for package in ("robustdd", "tasks"):
        shutil.copytree(CODE / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


def edit(path: Path, more: str) -> None:
    path.write_text(path.read_text() + more)


def test_it_tells_the_code_in_the_keys_and_the_sections_of_params(tree: Path, tmp_path: Path) -> None:
    assert record_code(tmp_path) == list(STAGES)
    for stage in STAGES:
        told = json.loads(recorded_in(tmp_path, stage).read_bytes())
        assert told == {"code": code_hash(module_of(stage)), "params": code_hash("robustdd.params")}
    assert record_code(tmp_path) == []


def test_a_module_moved_starts_no_stage_and_an_edit_of_it_those_that_reach_it(tree: Path, tmp_path: Path) -> None:
    record_code(tmp_path)
    (tree / "robustdd/elsewhere").mkdir()
    moved = (tree / "robustdd/weighting/weights.py").rename(tree / "robustdd/elsewhere/heft.py")
    importers = [path for path in tree.rglob("*.py") if "from robustdd.weighting.weights import" in path.read_text()]
    for path in importers:
        path.write_text(path.read_text().replace("robustdd.weighting.weights", "robustdd.elsewhere.heft"))
    assert len(importers) > 3 and record_code(tmp_path) == []
    text = moved.read_text()
    assert text.count("return 1 - jensen_shannon_to_one_hot(") == 1, "this is the last line of dynamic_weight"
    moved.write_text(text.replace("return 1 - jensen_shannon_to_one_hot(", "return 2 - jensen_shannon_to_one_hot("))
    assert record_code(tmp_path) == ["teachers", "consistency", "subset"]


EDITS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("robustdd/distillation/adjoint.py", "# a comment\n", ()),
    ("robustdd/distillation/adjoint.py", "EDITED = 1\n", ("distill",)),
    ("tasks/stages/train_full.py", "EDITED = 1\n", ("train-full",)),
    ("robustdd/exactness.py", "EDITED = 1\n", STAGES),
    ("robustdd/params.py", "EDITED = 1\n", STAGES),
    ("robustdd/params.py", '"""Text."""\n', ()),
    ("robustdd/study/prune.py", "EDITED = 1\n", ()),
    ("tasks/cache/cache.py", "EDITED = 1\n", ()),
)


def test_an_edit_reaches_the_stages_that_reach_it(tree: Path, tmp_path: Path) -> None:
    record_code(tmp_path)
    for module, more, stages in EDITS:
        before = {stage: code_hash(module_of(stage)) for stage in STAGES}
        edit(tree / module, more)
        assert record_code(tmp_path) == list(stages), module
        in_keys = {stage for stage in STAGES if code_hash(module_of(stage)) != before[stage]}
        assert in_keys <= set(stages), "DVC must start what has another key"


def test_a_stage_whose_code_is_not_recorded_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"distill\.json: is missing or tells of other code"):
        require_recorded(tmp_path, "distill")
    record_code(tmp_path)
    require_recorded(tmp_path, "distill")
    edit(tree / "robustdd/distillation/student.py", "EDITED = 1\n")
    with pytest.raises(UserError, match="run `dvc repro` without --single-item"):
        require_recorded(tmp_path, "distill")
    require_recorded(tmp_path, "labels")


def test_a_stage_by_hand_records_its_code_and_one_of_dvc_asks_for_it(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded_in(study, "labels")
    path.write_text("of other code")
    monkeypatch.setenv("DVC_STAGE", f"labels@{CELL}")
    with pytest.raises(UserError, match=r"labels\.json: is missing or tells of other code"):
        run(study, "labels", CELL)
    monkeypatch.delenv("DVC_STAGE")
    run(study, "labels", CELL)
    assert path.read_bytes() == code_of("labels")
    monkeypatch.setenv("DVC_STAGE", f"labels@{CELL}")
    run(study, "labels", CELL)


def test_code_that_cannot_be_read_concerns_the_stages_that_reach_it(tree: Path, tmp_path: Path) -> None:
    record_code(tmp_path)
    edit(tree / "tasks/stages/distill.py", "def half_written(:\n")
    assert record_code(tmp_path) == ["distill"]
    assert "invalid syntax (distill.py, line " in recorded_in(tmp_path, "distill").read_text()


def command(folder: Path, *how: str) -> subprocess.CompletedProcess[str]:
    """The command of the DVC stage, of the code in `folder` and for a study there."""
    env = environment(folder / "home", PYTHONPATH=str(folder))
    called = (sys.executable, *(how or ("-m", "tasks.cache.code_record")))
    return subprocess.run(called, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_command_says_what_is_new(tree: Path) -> None:
    assert command(tree).stderr == f"code: new for {', '.join(STAGES)}\n"
    edit(tree / "tasks/stages/subset.py", "EDITED = 1\n")
    assert command(tree).stderr == "code: new for subset\n"
    assert command(tree).stderr == "code: as before\n"


EDITED_MEANWHILE = """
import sys
from pathlib import Path
from tasks.cache import code_record

def code_of(stage, true=code_record.code_of, edited=[]):
    told = true(stage)
    if stage == "report" and not edited:
        edited.append(Path("robustdd/distillation/adjoint.py").write_text("EDITED = 1"))
    return told

code_record.code_of = code_of
sys.exit(code_record.main())
"""


def test_an_edit_while_the_code_is_read_is_not_recorded(tree: Path) -> None:
    """DVC hashes the folders afterwards, and would note the new code beside the old record."""
    done = command(tree, "-c", EDITED_MEANWHILE)
    assert done.returncode == 1
    assert done.stderr == "error: code: changed while it was read, for distill; run again\n"
    assert command(tree).stderr == "code: as before\n"


def test_a_record_that_cannot_be_written_is_one_line(tree: Path) -> None:
    (tree / "data").write_text("a file where the folder should be\n")
    done = command(tree)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: cannot write in ")
