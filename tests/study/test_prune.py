"""`prune`: what no study needs is found and, when asked to, removed; what any study names is never touched."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from robustdd.errors import RobustddError, UserError
from robustdd.store.locking import only_writer
from robustdd.study.graph import STAGES
from robustdd.study.load import load_study
from robustdd.study.prune import free, needless
from tasks.cache.layout import Layout
from tests.cli.test_cli_check import command, one_error
from tests.store.disks import tiny_disk
from tests.support.pipeline import bits, change, changed, run, stages, units
from tests.support.studies import CELL, PLAIN, SGR, tiny_study, write_study
from tests.tasks.test_resuming import KilledError, iterations

__all__ = ["iterations"]
OURS, SGR_ROW = f"{CELL}-ours-ipc1-s0", f"{CELL}-sgr-ipc1-s0"


@pytest.fixture
def root(study: Path) -> Path:
    """The built study among others: the code's own beside it."""
    return write_study(study.parent.parent, tiny_study() | {"name": "demo", "root": "."})


def without(*rows: str, view: str | None = None) -> dict[str, Any]:
    """The tiny study with fewer rows, and perhaps without a view."""
    params = tiny_study()
    for row in rows:
        del params["rows"][row]
    if view is not None:
        del params["views"][view]
    if OURS in rows:
        params["grid"]["finetune"] = []
    return params


def gone(folder: Path) -> set[str]:
    return {str(item.path.relative_to(folder)) for item in needless(folder)}


def test_nothing_is_needless_in_a_built_study(study: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = bits(study)
    assert needless(study) == [] and command("prune", study, "--yes") == 0
    assert capsys.readouterr().out == f"{study}: nothing is needless\n" and bits(study) == before


def test_what_no_study_names_is_listed_and_removed(study: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = [row for row in tiny_study()["rows"] if tiny_study()["rows"][row]["view"] == PLAIN]
    params = without(*plain, view=PLAIN)
    change(study, params)
    assert needless(study) == [], "the root's study names all of it, and may take it from here"
    write_study(root, params | {"name": "demo", "root": "."})
    before = bits(study)
    expected = {f"data/{stage}/{row}" for stage in ("distill", "evaluate") for row in plain} | {
        f"data/teachers/{PLAIN}"
    }
    records = {f"data/runs/{path.removeprefix('data/')}.run.json" for path in expected}
    assert gone(study) == expected | records
    sizes = {item.path.name: item.size for item in needless(study) if item.stage == "teachers"}
    assert sizes[PLAIN] == sum(path.stat().st_size for path in (study / "data/teachers" / PLAIN).iterdir())
    assert command("prune", study) == 0
    told = capsys.readouterr().out
    assert f"data/teachers/{PLAIN}" in told and "no study names it" in told and "nothing is removed" in told
    assert bits(study) == before, "a dry run removes nothing"
    assert command("prune", study, "--yes") == 0 and "dvc gc --workspace" in capsys.readouterr().out
    kept = {name: sha for name, sha in before.items() if f"data/{'/'.join(name.split('/')[:2])}" not in expected}
    assert bits(study) == kept and needless(study) == []
    assert not any((study / name).exists() for name in records)
    assert all(not [one for one in run(study, *place) if not one.cached] for place in stages(study)[:-1])


def test_what_is_no_artifact_stays(study: Path, root: Path, tmp_path: Path) -> None:
    (study / "data/teachers/notes.txt").write_text("mine")
    (study / "data/teachers/My Notes").mkdir()
    (study / "data/mine/x").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (study / "data/teachers/linked").symlink_to(tmp_path / "elsewhere")
    assert needless(study) == []


def test_checkpoints_of_what_can_still_be_resumed_stay(study: Path, root: Path, iterations: list[int]) -> None:
    shutil.rmtree(study / "data/distill" / OURS)
    iterations.append(-5)
    with pytest.raises(KilledError):
        run(study, "distill", OURS)
    place = study / ".robustdd/checkpoints/distill" / OURS
    kept = Path(shutil.copytree(place, study.parent / "kept"))
    assert needless(study) == [] and list(place.rglob("step-*"))
    iterations.clear()
    run(study, "distill", OURS)
    shutil.copytree(kept, place, dirs_exist_ok=True)  # as a kill between publishing and clearing leaves them
    (item,) = needless(study)
    assert item.path == place / "distilled" and item.why == "checkpoints of a finished task"
    change(study, changed("recipes", "tiny", "image_step", to=5.0))
    iterations.append(-5)
    with pytest.raises(KilledError):
        run(study, "distill", OURS)
    assert needless(study) == [], "the artifact in place is of other params than these checkpoints"
    change(study, without(OURS))
    write_study(root, without(OURS) | {"name": "demo", "root": "."})
    assert f".robustdd/checkpoints/distill/{OURS}/distilled" in gone(study)
    assert free(study, needless(study)) > 0 and not list(place.rglob("step-*"))


def test_checkpoints_of_a_teacher_that_is_no_more_go(study: Path, root: Path) -> None:
    place = study / ".robustdd/checkpoints/teachers" / SGR
    for index in (1, 7):
        (place / f"teacher-00{index}" / "step-000001").mkdir(parents=True)
    (item,) = needless(study)
    assert item.path == place / "teacher-007" and item.why == "checkpoints of a task that is no more"


def test_the_tasks_with_checkpoints_are_known_by_name(study: Path) -> None:
    kinds = {name: kind for name, kind in STAGES.items() if kind.resumed}
    assert {"teachers", "distill"} == set(kinds)
    for stage, ident in stages(study):
        if stage in kinds:
            known = kinds[stage].resumed(load_study(study))
            assert sorted(known) == sorted(unit.name for unit in units(study, stage, ident))


def test_a_running_stage_is_left_alone(study: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(study, without(OURS))
    write_study(root, without(OURS) | {"name": "demo", "root": "."})
    with only_writer(Layout(study).lock("distill", OURS)):
        assert command("prune", study, "--yes") == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: distill-{OURS}: another run (pid ") and told.count("\n") == 1
    assert (study / "data/distill" / OURS / "distilled.safetensors").is_file()


def test_what_became_needed_meanwhile_stays(study: Path, root: Path) -> None:
    change(study, without(OURS))
    write_study(root, without(OURS) | {"name": "demo", "root": "."})
    found = needless(study)
    change(study, tiny_study())
    assert found and free(study, found) == 0 and (study / "data/distill" / OURS / "distilled.safetensors").is_file()


def test_an_unreadable_study_beside_stops_it(study: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(study, without(OURS))
    (root / "params.yaml").write_text("name: [")
    assert command("prune", study, "--yes") == 2
    assert str(root / "params.yaml") in one_error(capsys)
    (root / "params.yaml").unlink()
    with pytest.raises(UserError, match=r"holds no params\.yaml; the other studies are not known"):
        needless(study)
    assert (study / "data/distill" / OURS).is_dir()


def test_a_disk_that_refuses_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, tiny_study() | {"name": "demo", "root": "."})
    (tmp_path / "studies").mkdir()
    with tiny_disk(tmp_path / "studies/tiny") as place:
        write_study(place)
        (place / "data/teachers/old").mkdir(parents=True)
        (place / "data/teachers/old/teacher-000.json").write_text("{}")
        Layout(place).lock("teachers", "old").parent.mkdir(parents=True)
        Layout(place).lock("teachers", "old").touch()
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        with pytest.raises(RobustddError, match="Read-only file system"):
            free(place, needless(place))
        assert command("prune", place, "--yes") == 1
        assert "Read-only file system" in capsys.readouterr().err.splitlines()[-1]
        assert (place / "data/teachers/old/teacher-000.json").is_file()
