"""The column of table 2 by the core alone: it ends, it goes on where it was, and it makes what the stages make."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmarks import table2, table2_column, table2_scales
from robustdd.store.checkpoints import Checkpoints
from tests.data.real_data import real
from tests.support.pipeline import run_all
from tests.support.studies import write_study


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> table2_scales.Scale:
    """The toy scale with one evaluation network."""
    real("cifar10")
    scale = table2_scales.toy()
    scale = replace(scale, evaluate=replace(scale.evaluate, seeds=(0,)))
    monkeypatch.setitem(table2_scales.SCALES, "toy", lambda ipc: replace(scale, ipc=ipc or 1))
    return scale


def command(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    arguments = ("--scale", "toy", "--folder", folder / "steps", "--out", folder, "--device", "cpu", *more)
    code = table2.main([str(one) for one in arguments])
    (path,) = folder.glob("table2-toy-*.json")
    told: dict[str, Any] = json.loads(path.read_bytes())
    return code, told


def test_it_goes_on_where_it_was_and_repeats_nothing(small: table2_scales.Scale, tmp_path: Path) -> None:
    code, told = command(tmp_path, "--minutes", "0")
    assert code == 3 and not told["whole"] and not told["steps"]
    code, told = command(tmp_path)
    assert code == 0 and told["whole"]
    assert {f"net-{row}-s0-e0" for row in table2_column.ROWS} < told["steps"].keys()
    assert all(0 < told["steps"][f"net-{row}-s0-e0"]["accuracy"] < 1 for row in table2_column.ROWS)
    assert told["scale"]["teachers"] == json.loads(json.dumps(asdict(small.teachers)))
    steps = tmp_path / "steps" / "toy-sym40-ipc1"
    before = {path: path.stat().st_mtime_ns for path in steps.glob("*.safetensors")}
    (steps / "set-ours-s0.json").unlink()
    code, again = command(tmp_path, "--minutes", "9")
    changed = {path.name for path, known in before.items() if path.stat().st_mtime_ns != known}
    assert code == 0 and changed == {"set-ours-s0.safetensors"}
    assert again["steps"]["net-ours-s0-e0"] == told["steps"]["net-ours-s0-e0"]


def test_steps_of_other_settings_are_not_taken(
    small: table2_scales.Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(tmp_path, "--minutes", "0")
    other = replace(small, subset=replace(small.subset, ratio=0.5))
    monkeypatch.setitem(table2_scales.SCALES, "toy", lambda ipc: other)
    with pytest.raises(SystemExit, match="holds steps of other settings"):
        command(tmp_path, "--minutes", "0")


def test_a_long_step_is_kept_when_the_time_is_up(tmp_path: Path) -> None:
    column = table2_column.Column(table2_scales.toy(), 0.4, tmp_path, torch.device("cpu"), time.monotonic() + 3600)

    def slow(points: Checkpoints) -> table2_column.Made:
        saved = points.latest()
        first = 0 if saved is None else saved.step
        for step in range(first, 4):
            if points.due(step + 1, 100):
                points.save(step + 1, {"a": torch.ones(1)}, {})
        return {"steps": torch.tensor([4 - first])}, {}

    late = table2_column._Timed(tmp_path / "checkpoints" / "slow", {"step": "slow"}, deadline=0)
    with pytest.raises(table2_column.TimeUpError):
        slow(late)
    tensors, _ = column.kept("slow", slow)
    assert int(tensors["steps"]) == 3, "one of the four steps was made before"


@pytest.mark.soak
def test_it_makes_the_very_sets_that_the_stages_make(small: table2_scales.Scale, tmp_path: Path) -> None:
    command(tmp_path / "core")
    cell, views = "cifar10-sym40", {"plain": "labels", "sgr": "forgetting"}
    rows = {"selected": "plain", "datm": "plain", "sgr": "sgr", "ours": "sgr"}
    params = json.loads(json.dumps(asdict(small)))
    params |= {"name": "toy", "root": "../..", "device": "cpu", "threads": 1, "train_full": {}}
    params |= {"datasets": {"cifar10": params.pop("dataset")}, "recipes": {"toy": params.pop("recipe")}}
    params["cells"] = {cell: {"dataset": "cifar10", "noise": {"kind": "symmetric", "rate": 0.4, "seed": 0}}}
    params["views"] = {
        f"{cell}-{view}": {"cell": cell, "weights": view, "weights_from": source} for view, source in views.items()
    }
    params["rows"] = {
        row: {"view": f"{cell}-{view}", "method": row, "ipc": params["ipc"], "recipe": "toy", "targets": "teachers"}
        for row, view in rows.items()
    }
    params["rows"]["ours"]["targets"] = "finetune"
    sgr = f"{cell}-sgr"
    params["grid"] = {"forgetting": [cell], "reliability": [sgr], "finetune": [sgr], "full": []}
    del params["ipc"]
    study = write_study(tmp_path / "studies" / "toy", params)
    run_all(study, but=("report",))
    steps = tmp_path / "core" / "steps" / "toy-sym40-ipc1"
    for row in rows:
        mine, theirs = load_file(steps / f"set-{row}-s0.safetensors"), study / "data" / "distill" / row
        found = load_file(theirs / "distilled.safetensors")
        assert mine.keys() == found.keys() and all(torch.equal(mine[name], found[name]) for name in found), row
        accuracy = json.loads((study / "data" / "evaluate" / row / "accuracy.json").read_bytes())["accuracy"]
        assert accuracy == [json.loads((steps / f"net-{row}-s0-e0.json").read_bytes())["accuracy"]]
