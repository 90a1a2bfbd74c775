"""The cache: what runs again after which change, and that nothing else does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.pipeline import bits, change, changed, executed, flip, names, run, run_all
from tests.support.studies import CELL, PLAIN, SGR, tiny_study

OURS, SGR_ROW, DATM, RANDOM = (f"{CELL}-{method}-ipc1-s0" for method in ("ours", "sgr", "datm", "random"))
SELECTED, SGR_SELECTED = f"{PLAIN}-selected-ipc1-s0", f"{SGR}-selected-ipc1-s0"


def evaluated(*rows: str) -> set[str]:
    """What runs when the sets of these rows are others; the joins apart, which equal accuracies stop."""
    return {f"evaluate {row} seed-{seed}" for row in rows for seed in (0, 1)}


def without_joins(ran: set[str]) -> set[str]:
    return {name for name in ran if name.split()[-1] not in ("accuracy", "full")}


def test_a_second_run_executes_nothing_and_touches_nothing(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.stages.report.report_page", lambda results: b"drawn")
    data = study / "data"
    before = {name: (data / name).stat().st_mtime_ns for name in bits(study)}
    records = {path: path.read_bytes() for path in (data / "runs").glob("*/*.json")}
    ran = run_all(study)
    assert executed(ran) == set() and sum(map(len, ran.values())) == 44
    assert {name: (data / name).stat().st_mtime_ns for name in bits(study)} == before
    assert len(records) == 22 and {path: path.read_bytes() for path in records} == records
    assert (data / "report.html").read_bytes() == b"drawn", "the page is made anew: it shows the run records"


def delete(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [delete, flip, shorten])
@pytest.mark.parametrize("file", ["teacher-001.safetensors", "teacher-001.json", "teacher-001.manifest.json"])
def test_a_harmed_artifact_is_made_again_and_no_other(study: Path, file: str, harm: Callable[[Path], None]) -> None:
    before = bits(study)
    harm(study / "data/teachers" / SGR / file)
    assert names(run(study, "teachers", SGR)) == ["teacher-001"]
    assert bits(study) == before
    assert names(run(study, "consistency", SGR)) == []


def test_a_new_seed_runs_alone_and_an_old_one_is_pruned(study: Path) -> None:
    before = bits(study)
    change(study, changed("evaluate", "seeds", to=[0, 1, 2]))
    ran = run_all(study, but=("report",))
    assert executed(ran) == {
        f"evaluate {row} {unit}" for row in tiny_study()["rows"] for unit in ("seed-2", "accuracy")
    }
    after = bits(study)
    assert {name for name in before if after[name] != before[name]} == {
        f"evaluate/{row}/accuracy.{kind}" for row in tiny_study()["rows"] for kind in ("json", "manifest.json")
    }
    accuracy = json.loads((study / "data/evaluate" / OURS / "accuracy.json").read_bytes())
    assert accuracy["evaluation_seeds"] == [0, 1, 2] and len(accuracy["accuracy"]) == 3
    change(study, tiny_study())
    assert executed(run_all(study, but=("report",))) == {f"evaluate {row} accuracy" for row in tiny_study()["rows"]}
    assert bits(study) == before


def test_a_new_row_and_a_new_cell_leave_the_others(study: Path) -> None:
    before, params = bits(study), tiny_study()
    row = f"{CELL}-ours-ipc1-s1"
    params["rows"][row] = {**params["rows"][OURS], "seed": 1}
    params["cells"]["digits-sym20"] = {"dataset": "digits", "noise": {"kind": "symmetric", "rate": 0.2}}
    change(study, params)
    ran = run_all(study, but=("report",))
    new = {f"distill {row} distilled", "labels digits-sym20 labels", f"evaluate {row} accuracy", *evaluated(row)}
    assert executed(ran) == new
    assert before.items() <= bits(study).items()


def test_another_number_of_teachers_trains_those_whose_blend_changed(study: Path) -> None:
    before = bits(study)
    change(study, changed("teachers", "num_teachers", to=3))
    assert names(run(study, "teachers", PLAIN)) == ["teacher-002"]
    assert names(run(study, "teachers", SGR)) == ["teacher-001", "teacher-002"]
    after = bits(study)
    assert after[f"teachers/{SGR}/teacher-000.safetensors"] == before[f"teachers/{SGR}/teacher-000.safetensors"]
    assert after[f"teachers/{SGR}/teacher-001.safetensors"] != before[f"teachers/{SGR}/teacher-001.safetensors"]
    change(study, tiny_study())
    assert names(run(study, "teachers", PLAIN)) == []
    assert names(run(study, "teachers", SGR)) == ["teacher-001"]
    assert bits(study) == before
    assert executed(run_all(study, but=("report",))) == set()


EXPECTED = {
    ("subset", "ratio"): {
        f"subset {SGR} reliability",
        f"finetune {SGR} clean-target-000",
        f"finetune {SGR} clean-target-001",
    }
    | {f"distill {OURS} distilled", *evaluated(OURS)},
    ("evaluate", "epochs"): evaluated(OURS, SGR_ROW, DATM, RANDOM, SELECTED, SGR_SELECTED),
    ("train_full", "momentum"): {f"train-full {CELL} seed-{seed}" for seed in (0, 1)},
}


@pytest.mark.parametrize(
    ("way", "value"), [(("subset", "ratio"), 0.5), (("evaluate", "epochs"), 5), (("train_full", "momentum"), 0.8)]
)
def test_a_changed_value_runs_exactly_what_depends_on_it(study: Path, way: tuple[str, ...], value: object) -> None:
    change(study, changed(*way, to=value))
    assert without_joins(executed(run_all(study, but=("report",)))) == EXPECTED[way]


def test_other_neighbours_spare_the_teacher_that_asks_none(study: Path) -> None:
    change(study, changed("neighbours", "k", to=6))
    ran = executed(run_all(study, but=("report", "evaluate")))
    assert ran == {
        f"teachers {SGR} teacher-001",
        *(f"consistency {SGR} consistency-00{index}" for index in range(2)),
        f"subset {SGR} reliability",
        *(f"finetune {SGR} clean-target-00{index}" for index in range(2)),
        *(f"distill {row} distilled" for row in (OURS, SGR_ROW, SGR_SELECTED)),
    }


def test_equal_bytes_stop_what_follows(study: Path) -> None:
    """Another share of learning makes other weights of the same halves; the plain view does not read them."""
    change(study, changed("forgetting", "learn_share", to=0.9))
    ran = executed(run_all(study, but=("report", "evaluate", "distill", "finetune")))
    assert {name for name in ran if name.startswith("forgetting")} == {f"forgetting {CELL} forgetting"}
    assert not any(PLAIN in name or name.startswith(("images", "labels", "train-full")) for name in ran)
    assert f"teachers {SGR} teacher-000" in ran


def test_what_no_task_makes_is_pruned(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, before = study / "data/teachers" / SGR, bits(study)
    (folder / "teacher-007.safetensors").write_bytes(b"old")
    (folder / ".tmp.teacher-000.abc-teacher-000.json").write_bytes(b"{")
    (folder / "notes").mkdir()
    (folder / "notes/mine.txt").write_text("mine")
    (folder / "link").symlink_to(study / "params.yaml")
    with caplog.at_level(logging.INFO, "robustdd.run"):
        assert names(run(study, "teachers", SGR)) == []
    assert bits(study) == before and (study / "params.yaml").is_file()
    assert "teacher-007.safetensors: removed, no task of this stage makes it any more" in caplog.messages
