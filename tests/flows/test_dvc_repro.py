"""DVC itself on a tiny study in a repository of its own: it runs once, and then nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.dvc_project import (
    DVC_STAGES,
    FILE,
    RANDOM,
    STUDY,
    commit_all,
    dvc,
    name_in_dvc,
    resolved,
    said_by,
    small_study,
)
from tests.support.pipeline import bits, held

pytestmark = pytest.mark.timeout(600)


def test_a_second_repro_runs_nothing_and_nothing_is_stale(project: Path) -> None:
    with held(project.with_name("in-use")):
        said = dvc(project, "repro", FILE)
        assert "Data and pipelines are up to date." in said and "Running stage" not in said
        assert said.count("didn't change, skipping") == DVC_STAGES
        assert dvc(project, "status", FILE).strip() == "Data and pipelines are up to date."
        listed = dvc(project, "stage", "list", "--name-only", FILE).split()
    assert {name.rpartition(":")[2] for name in listed} == {name_in_dvc(*place) for place in resolved(small_study())}


def test_dvc_records_what_dvc_yaml_says(project: Path) -> None:
    lock = YAML(typ="safe").load((project / STUDY / "dvc.lock").read_text())["stages"]
    for place, expected in resolved(small_study()).items():
        found = lock[name_in_dvc(*place)]
        assert found["cmd"] == expected.cmd
        assert {dep["path"] for dep in found["deps"]} == set(expected.deps)
        assert {out["path"] for out in found["outs"]} == set(expected.outs)
        assert set(found.get("params", {}).get("params.yaml", ())) == set(expected.params)


def test_dvc_makes_the_bits_that_stages_by_hand_make(project: Path, built: Path) -> None:
    made, by_hand = bits(project / STUDY), bits(built)
    of_the_other_view = {f"evaluate/{RANDOM}/accuracy.{kind}" for kind in ("json", "manifest.json")}
    common = {name for name in made.keys() & by_hand.keys() if not name.startswith("report/")} - of_the_other_view
    assert len(common) > 50
    assert {name: made[name] for name in common} == {name: by_hand[name] for name in common}


def test_a_lost_folder_comes_back_from_the_store_of_dvc(copied: Path) -> None:
    before = bits(copied / STUDY)
    shutil.rmtree(copied / STUDY / "data/teachers")
    dvc(copied, "checkout", FILE)
    assert bits(copied / STUDY) == before


def test_a_stage_of_other_code_than_dvc_will_note_is_refused(copied: Path) -> None:
    """An edit after the stage `code` had run, taken back later, would leave in dvc.lock what nothing makes."""
    one, code = f"{FILE}:evaluate@{RANDOM}", copied / "tasks/stages/evaluate.py"
    code.write_text(f"{code.read_text()}EDITED = 1\n")
    lock = (copied / STUDY / "dvc.lock").read_bytes()
    said = dvc(copied, "repro", "--force", "--single-item", one, code=255)
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "data/code/evaluate.json: is missing or tells of other code than this; run `dvc repro` without" in error
    assert (copied / STUDY / "dvc.lock").read_bytes() == lock
    by_hand = (sys.executable, "-m", "flows.stage", "evaluate", RANDOM)
    assert "3 executed, 0 cached" in said_by(copied / STUDY, *by_hand, PYTHONPATH=str(copied))
    assert "0 executed, 3 cached" in dvc(copied, "repro", one)


def test_what_other_settings_made_is_not_read_for_dvc(copied: Path) -> None:
    """A change between two stages, taken back later, would leave in dvc.lock what nothing makes."""
    params = copied / STUDY / "params.yaml"
    assert params.read_text().count("threads: 1\n") == 1
    params.write_text(params.read_text().replace("threads: 1\n", "threads: 2\n"))
    said = dvc(copied, "repro", "--force", "--single-item", f"{FILE}:evaluate@{RANDOM}", code=255)
    assert f"error: distill {RANDOM} was made with other settings than these: run `dvc repro`" in said


def test_dvc_compares_revisions(copied: Path) -> None:
    """It reads every dvc.yaml of a revision; a link's text is none."""
    commit_all(copied, "built")
    params = copied / STUDY / "params.yaml"
    params.write_text(params.read_text().replace("threads: 1\n", "threads: 2\n"))
    assert "threads" in dvc(copied, "params", "diff", "HEAD")
    dvc(copied, "diff", "HEAD")
    assert "workspace" in dvc(copied, "exp", "show", "--all-commits", "--csv")
