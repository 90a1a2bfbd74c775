"""DVC itself on a tiny study in a repository of its own: it runs once, then nothing, and a comment costs one start."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.dvc_project import STUDY, dvc, make_project, resolved
from tests.pipeline import bits, built_once, held
from tests.studies import CELL, SGR, tiny_study

OURS, RANDOM = f"{CELL}-ours-ipc1-s0", f"{CELL}-random-ipc1-s0"
FILE = f"{STUDY}/dvc.yaml"
pytestmark = pytest.mark.timeout(600)


def small_study() -> dict[str, Any]:
    """The tiny study with one view and two rows: every kind of stage, each once or twice."""
    params = tiny_study()
    rows = {RANDOM: {**params["rows"][RANDOM], "view": SGR}, OURS: params["rows"][OURS]}
    return {**params, "views": {SGR: params["views"][SGR]}, "rows": rows}


@pytest.fixture(scope="session")
def project(shared: Path) -> Path:
    """The small study, made by `dvc repro`."""

    def build(folder: Path) -> None:
        make_project(folder, small_study())
        said = dvc(folder, "repro", FILE)
        assert said.count("executed, 0 cached") == 13, said

    return built_once(shared / "dvc" / "project", build)


@pytest.fixture
def copied(project: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    with held(project.with_name("in-use")):
        return Path(shutil.copytree(project, tmp_path / "project", symlinks=True))


def test_a_second_repro_runs_nothing_and_nothing_is_stale(project: Path) -> None:
    with held(project.with_name("in-use")):
        said = dvc(project, "repro", FILE)
        assert "Data and pipelines are up to date." in said and "Running stage" not in said
        assert said.count("didn't change, skipping") == 13
        assert dvc(project, "status", FILE).strip() == "Data and pipelines are up to date."
        listed = dvc(project, "stage", "list", "--name-only", FILE).split()
    names = {"report" if stage == "report" else f"{stage}@{ident}" for stage, ident in resolved(small_study())}
    assert {name.rpartition(":")[2] for name in listed} == names


def test_dvc_records_what_dvc_yaml_says(project: Path) -> None:
    lock = YAML(typ="safe").load((project / STUDY / "dvc.lock").read_text())["stages"]
    for (stage, ident), expected in resolved(small_study()).items():
        found = lock["report" if stage == "report" else f"{stage}@{ident}"]
        assert found["cmd"] == expected.cmd
        assert {dep["path"] for dep in found["deps"]} == set(expected.deps)
        assert {out["path"] for out in found["outs"]} == set(expected.outs)
        assert set(found["params"]["params.yaml"]) == set(expected.params)


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


def test_a_comment_starts_a_stage_that_finds_everything_cached(copied: Path) -> None:
    before, code = bits(copied / STUDY), copied / "tasks/labels.py"
    code.write_text(f"# A remark.\n{code.read_text()}")
    said = dvc(copied, "repro", FILE)
    assert said.count("Running stage") == 1 and f"labels {CELL}: 0 executed, 1 cached" in said
    assert bits(copied / STUDY) == before


def test_an_unfinished_stage_leaves_the_lock_file_alone(copied: Path) -> None:
    """The code changes while a stage runs: DVC must not record the new code with the old result."""
    lock, code = copied / STUDY / "dvc.lock", copied / "tasks/labels.py"
    before, text = lock.read_bytes(), code.read_text()
    edit = "    from pathlib import Path\n    Path(__file__).write_text(Path(__file__).read_text() + 'EDITED = 1\\n')\n"
    head = "    noise: Noise = unit.params"
    assert text.count(head) == 1
    code.write_text(text.replace(head, edit + head))
    said = dvc(copied, "repro", f"{FILE}:labels@{CELL}", code=255)
    assert "its code changed while it ran" in said and "Traceback" not in said
    assert lock.read_bytes() == before
