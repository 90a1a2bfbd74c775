"""The benchmark of settings at toy size: what it makes, what a second run leaves alone, what the table says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import precision
from benchmarks.precision_runs import ARMS, SETTINGS, Bench, Sizes, cases
from benchmarks.precision_table import as_markdown
from robustdd.params import Dataset, Evaluate, Network, Noise, Recipe, Teachers

torch.set_num_threads(1)

TOY = Sizes(
    noise=Noise("symmetric", 0.4),
    dataset=Dataset("digits", test_images=1297, train_share=0.8, whitening="standard"),
    network=Network(8, 2),
    teachers=Teachers(num_teachers=2, epochs=2, batch_size=64, learning_rate=0.05, optimizer="sgd", augment="none"),
    ipc=1,
    recipe=Recipe(
        iterations=3, inner_steps=2, teacher_epochs=1, batch_size=5, first_max_start=1, max_start=1, augment="none"
    ),
    evaluate=Evaluate(epochs=2, decay_epoch=1, augment="none", seeds=(0, 1)),
    seeds=(0, 1),
    compile="off",
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("precision")
    precision.measure(TOY, folder / "found.json", folder / "cache", "cpu")
    return folder / "found.json"


def runs(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_bytes())["runs"])


def found(path: Path, **case: Any) -> dict[str, Any]:
    return dict(runs(path)[json.dumps(case, sort_keys=True)])


def test_every_pair_is_there_and_differs_in_the_setting_alone(path: Path) -> None:
    assert len(runs(path)) == len(list(cases(TOY))) == 3 * 2 + 2 * (1 + len(ARMS)) and len(ARMS) == 5
    for seed in TOY.seeds:
        plain, *compiled, mixed, narrow = (found(path, part="distil", arm=arm, seed=seed) for arm in ARMS)
        assert len(plain["accuracy"]) == 2 and plain["skipped"] == 0
        assert all(one["first_loss"] == plain["first_loss"] for one in compiled), "nothing is compiled at toy size"
        losses = [one["first_loss"] for one in (plain, mixed, narrow)]
        assert len(set(losses)) == 3 and max(losses) - min(losses) < 0.05
    first, second = (found(path, part="teacher", setting=name, index=0) for name in ("plain", "bfloat16"))
    assert first["loss"] != second["loss"] == pytest.approx(first["loss"], rel=0.05)


def test_settings_are_those_of_params() -> None:
    compiled = replace(TOY, compile="on")
    engines = [compiled.engine(setting) for setting in SETTINGS]
    assert [(one.compile, one.precision) for one in engines] == [
        ("off", "float32"),
        ("on", "float32"),
        ("on", "bfloat16"),
    ]
    assert all((one.keep, one.chunk) == ("off", 0) for one in engines)


def test_a_second_run_makes_nothing_and_a_cut_off_one_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, made = path.read_bytes(), []
    inner = Bench.run
    monkeypatch.setattr(Bench, "run", lambda self, case: made.append(case) or inner(self, case))
    precision.measure(TOY, path, path.parent / "cache", "cpu")
    assert not made and path.read_bytes() == before
    record = json.loads(before)
    gone = json.dumps({"part": "distil", "arm": "plain", "seed": 1}, sort_keys=True)
    lost = record["runs"].pop(gone)
    path.write_text(json.dumps(record))
    precision.measure(TOY, path, path.parent / "elsewhere", "cpu")  # the teachers' files are gone, too
    again = runs(path)[gone]
    assert len(made) == 1 and {**again, "seconds": 0, "distil_seconds": 0} == {
        **lost,
        "seconds": 0,
        "distil_seconds": 0,
    }


def test_other_sizes_begin_anew() -> None:
    other = replace(TOY, ipc=2)
    assert precision.identity(TOY, "cpu") == precision.identity(TOY, "cpu") != precision.identity(other, "cpu")


def test_the_table_says_whichever_way_it_falls(path: Path) -> None:
    record = json.loads(path.read_bytes())
    for key, run in record["runs"].items():
        case = json.loads(key)
        if case["part"] == "distil":
            lower = 0.2 + 0.002 * case["seed"] if case["arm"] == "bfloat16 throughout" else 0.0
            run["accuracy"] = [0.6 - lower, 0.7 - lower]
    told = as_markdown(record)
    assert "| bfloat16 throughout | plain | \N{MINUS SIGN}20.1 |" in told
    assert told.count("| 1 | shown |") == 2 and "| bfloat16 distillation | plain | +0.0 |" in told
    assert "1 thread" in told and "symmetric noise" in told
