"""Every mistake in a study is told in one line: keys, ids, methods, grid, numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.study.load import load_study
from robustdd.study.rules import is_id
from tests.support.studies import CELL, PLAIN, SGR, refusal, tiny_study, write_study

OURS = f"{CELL}-ours-ipc1-s0"
Change = Callable[[dict[str, Any]], Any]


def _set(way: str, value: Any) -> Change:
    def change(study: dict[str, Any]) -> None:
        *sections, last = way.split("/")
        for section in sections:
            study = study[section]
        study[last] = value

    return change


def _drop(way: str) -> Change:
    section, key = way.split("/")
    return lambda study: study[section].pop(key)


WRONG: dict[str, tuple[Change, str]] = {
    # keys and types
    "misspelt key": (_set("teachers/epoch", 3), "teachers: unknown key 'epoch': did you mean 'epochs'?"),
    "misspelt section": (_set("recipe", {}), "the file: unknown key 'recipe': did you mean 'recipes'?"),
    "misspelt key of a row": (_set(f"rows/{OURS}/ipcs", 1), f"rows.{OURS}: unknown key 'ipcs': did you mean 'ipc'?"),
    "missing section": (lambda study: study.pop("grid"), "grid: is missing"),
    "missing key": (_drop("recipes/tiny"), "unknown recipe 'tiny'"),
    "text for a number": (_set("teachers/epochs", "ten"), "teachers.epochs: expected a valid integer, found 'ten'"),
    "bool for a number": (_set("teachers/epochs", True), "teachers.epochs: expected a valid integer, found True"),
    "real for whole": (_set("teachers/epochs", 4.0), "teachers.epochs: expected a valid integer, found 4.0"),
    "number for text": (_set("name", 3), "name: expected a valid string, found 3"),
    "range": (_set("threads", 0), "threads: expected greater than or equal to 1, found 0"),
    "share": (
        _set("recipes/tiny/aux_share", 1.5),
        "recipes.tiny.aux_share: expected less than or equal to 1, found 1.5",
    ),
    "nan": (_set("teachers/rho", float("nan")), "teachers.rho: expected"),
    "inf": (_set("recipes/tiny/image_step", float("inf")), "recipes.tiny.image_step: expected a finite number"),
    "choice": (_set("device", "gpu"), "device: expected 'cpu', 'cuda' or 'auto', found 'gpu'"),
    "list for section": (_set("rows", []), "rows: expected an object, found a list"),
    "number for section": (_set("subset", 3), "subset: expected an object, found 3"),
    "seed in a list": (_set("evaluate/seeds", [0, True]), "evaluate.seeds.1: expected a valid integer, found True"),
    # ids
    "name": (_set("name", "../x"), "name: id '../x' is not allowed"),
    "root": (_set("root", "/etc"), "root: '/etc' is not allowed"),
    "root with a command": (_set("root", ".; rm"), "is not allowed"),
    "unknown dataset": (_set(f"cells/{CELL}/dataset", "digit"), "unknown dataset 'digit': did you mean 'digits'?"),
    "unknown cell": (_set(f"views/{SGR}/cell", "digits-sym4"), f"unknown cell 'digits-sym4': did you mean '{CELL}'?"),
    "unknown view": (_set(f"rows/{OURS}/view", "x"), f"rows.{OURS}.view: unknown view 'x': known are {PLAIN}, {SGR}"),
    "unknown recipe": (_set(f"rows/{OURS}/recipe", "tini"), "unknown recipe 'tini': did you mean 'tiny'?"),
    # noise
    "rate of none": (_set(f"cells/{CELL}/noise/kind", "none"), "noise.rate: has no meaning for kind none"),
    "no matrix": (_set(f"cells/{CELL}/noise", {"kind": "matrix"}), "noise.matrix: belongs to kind matrix"),
    "matrix of another": (_set(f"cells/{CELL}/noise/matrix", [[1.0]]), "noise.matrix: belongs to kind matrix"),
    "small matrix": (
        _set(f"cells/{CELL}/noise", {"kind": "matrix", "matrix": [[1]]}),
        "expected 10 rows of 10 numbers",
    ),
    "matrix row": (
        _set(f"cells/{CELL}/noise", {"kind": "matrix", "matrix": [[0.1] * 10] * 9 + [[0.2] * 10]}),
        "noise.matrix.9: the row sums to 2, expected 1",
    ),
    # views and rows
    "fixed without maximum": (
        _set(f"views/{SGR}/weights", "fixed"),
        f"views.{SGR}.blend_maximum: belongs to weights fixed",
    ),
    "maximum without fixed": (_set(f"views/{SGR}/blend_maximum", 0.5), "belongs to weights fixed and to no other"),
    "weights from": (
        _set(f"views/{SGR}/weights_from", "labels"),
        f"views.{SGR}.weights_from: weights sgr need forgetting",
    ),
    "datm on sgr": (_set(f"rows/{CELL}-datm-ipc1-s0/view", SGR), "method datm needs a view with weights plain"),
    "sgr on plain": (_set(f"rows/{CELL}-sgr-ipc1-s0/view", PLAIN), "method sgr needs a weighted view"),
    "ours on plain": (_set(f"rows/{OURS}/view", PLAIN), "method ours needs a weighted view"),
    "ours without finetune": (_set(f"rows/{OURS}/targets", "teachers"), "method ours needs finetune, found teachers"),
    "ours of oracle": (
        lambda study: study["views"].update({SGR: {"cell": CELL, "weights": "oracle", "weights_from": "labels"}}),
        "ours needs static weights",
    ),
    "datm with finetune": (_set(f"rows/{CELL}-datm-ipc1-s0/targets", "finetune"), "method datm needs teachers"),
    # grid
    "no forgetting": (
        _set("grid/forgetting", []),
        f"grid.forgetting: lacks '{CELL}', which a view or a row of it needs; add it",
    ),
    "no reliability": (
        _set("grid/reliability", []),
        f"grid.reliability: lacks '{SGR}'",
    ),
    "plain reliability": (_set("grid/reliability", [SGR, PLAIN]), f"grid.reliability: names '{PLAIN}'"),
    "no finetune": (_set("grid/finetune", []), f"grid.finetune: lacks '{SGR}'"),
    "plain finetune": (_set("grid/finetune", [SGR, PLAIN]), f"grid.finetune: names '{PLAIN}'"),
    "unknown full": (_set("grid/full", ["digits"]), "grid.full: unknown id 'digits': did you mean"),
    "twice": (_set("grid/full", [CELL, CELL]), f"grid.full: names '{CELL}' twice"),
    # numbers
    "order of starts": (_set("recipes/tiny/first_max_start", 4), "expected min_start < first_max_start <= max_start"),
    "no start": (_set("recipes/tiny/min_start", 2), "expected min_start < first_max_start <= max_start, found 2, 2, 3"),
    "too late": (_set("recipes/tiny/teacher_epochs", 3), "teacher_epochs = 5, but teachers.epochs is 4"),
    "starts not covered": (_set("finetune/last_start", 1), f"start epochs are 0..1, but row '{OURS}' draws 0..2"),
    "first start": (_set("finetune/first_start", 1), "start epochs are 1..2, but row"),
    "starts upside down": (_set("finetune/first_start", 3), "expected first_start <= last_start"),
    "a decay that never comes": (
        _set("evaluate/decay_epoch", 4),
        "evaluate.decay_epoch: expected less than the 4 epochs",
    ),
    "decays that never come": (_set("train_full/decay_epochs", [1, 3]), "expected less than the 3 epochs, found [3]"),
    "starts beyond": (_set("finetune/last_start", 5), "first_start <= last_start <= teachers.epochs"),
    "k": (
        _set("neighbours/k", 500),
        "neighbours.k: 500 neighbours need more than 500 training images, 'digits' has 500",
    ),
    "test images": (_set("datasets/digits/test_images", 1797), "expected fewer than 1797, found 1797"),
    "no seed": (_set("evaluate/seeds", []), "evaluate.seeds: expected different numbers, at least one"),
    "seed twice": (_set("forgetting/seeds", [1, 1]), "forgetting.seeds: expected different numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    study = tiny_study()
    change, reason = WRONG[name]
    change(study)
    assert reason in refusal(write_study(tmp_path, study))


def test_the_unknown_key_is_told_before_the_missing_one(tmp_path: Path) -> None:
    study = tiny_study()
    study["device_"] = study.pop("device")
    assert "unknown key 'device_': did you mean 'device'?" in refusal(write_study(tmp_path, study))


def test_more_weighted_views_may_be_scored(tmp_path: Path) -> None:
    study = tiny_study()
    knn = f"{CELL}-knn"
    study["views"][knn] = {"cell": CELL, "weights": "knn", "weights_from": "forgetting"}
    study["views"][f"{CELL}-fixed05"] = {**study["views"][knn], "weights": "fixed", "blend_maximum": 0.5}
    study["grid"]["reliability"].append(knn)
    assert load_study(write_study(tmp_path, study)).grid.reliability == (SGR, knn)


def test_a_recipe_may_read_the_last_snapshot(tmp_path: Path) -> None:
    study = tiny_study()
    study["recipes"]["tiny"]["teacher_epochs"] = 2  # starts 0..2, so epoch 4 of 4 is the last one read
    assert load_study(write_study(tmp_path, study)).recipes["tiny"].teacher_epochs == 2


LOOK_ALIKE = "\N{CYRILLIC SMALL LETTER A}b"
ODD_IDS = [
    "../x",
    "/x",
    "~",
    "a\0",
    "a\n",
    "a\nb",
    "a;rm",
    "$(id)",
    "a" * 62,
    "",
    "-a",
    "A",
    LOOK_ALIKE,
    "${env}",
    "a b",
    "a.b",
]


@pytest.mark.parametrize("ident", ODD_IDS)
@pytest.mark.parametrize("table", ["datasets", "cells", "views", "rows", "recipes"])
def test_odd_ids_are_refused(tmp_path: Path, table: str, ident: str) -> None:
    study = tiny_study()
    study[table][ident] = next(iter(study[table].values()))
    line = refusal(write_study(tmp_path, study))
    assert f"{table}: id " in line or "not allowed" in line


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=70))
def test_an_id_is_taken_only_when_it_matches(ident: str) -> None:
    assert is_id(ident) == bool(re.search(r"\A[a-z0-9][a-z0-9-]{0,60}\Z", ident))
