"""params.yaml: read as DVC reads it, every mistake one line, hostile files refused within a second."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustdd.errors import UserError
from robustdd.params import Noise, Recipe
from robustdd.study.graph import require_id
from robustdd.study.load import load_study, look_up, params_of, rows_of_view, view_of_row
from tests.support.studies import CELL, PLAIN, SGR, refusal, tiny_study, write_study

OURS = f"{CELL}-ours-ipc1-s0"
Change = Callable[[dict[str, Any]], Any]


def refusal_of_text(folder: Path, text: str | bytes) -> str:
    (folder / "params.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return refusal(folder)


def test_the_tiny_study_is_read(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path))
    assert study.grid.forgetting == (CELL,)
    assert study.train_full.seeds == (0, 1)
    assert study.recipes["tiny"].image_step == 10.0
    assert study.cells[CELL].noise == Noise("symmetric", 0.4)


def test_whole_numbers_are_taken_for_real_ones(tmp_path: Path) -> None:
    changed = tiny_study()
    changed["recipes"]["tiny"]["threshold"] = 1
    threshold = load_study(write_study(tmp_path, changed)).recipes["tiny"].threshold
    assert threshold == 1.0 and isinstance(threshold, float)


def test_numbers_mean_what_they_mean_to_dvc(tmp_path: Path) -> None:
    text = (write_study(tmp_path) / "params.yaml").read_text()
    text = text.replace("zca_epsilon: 0.1", "zca_epsilon: 1e-3").replace("k: 5", "k: 010")
    (tmp_path / "params.yaml").write_text(text.replace("name: tiny", "name: yes"))
    study = load_study(tmp_path)
    assert (study.datasets["digits"].zca_epsilon, study.neighbours.k, study.name) == (1e-3, 10, "yes")


@pytest.mark.parametrize("dress", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_byte_order_mark_and_crlf_are_read(tmp_path: Path, dress: Callable[[str], str]) -> None:
    text = (write_study(tmp_path) / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_bytes(dress(text).encode())
    assert load_study(tmp_path).name == "tiny"


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    assert "is missing; a study is a folder with a params.yaml" in refusal(tmp_path)
    (tmp_path / "params.yaml").mkdir()
    assert "is missing" in refusal(tmp_path)


DEEP_BLOCK = "".join(" " * level + "a:\n" for level in range(400))
LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{','.join([f'*a{level - 1}'] * 9)}]}}\n" for level in range(1, 12)
)
HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "holds nothing"),
    "comment": ("# nothing\n", "holds nothing"),
    "list": ("- a\n- b\n", "holds a list"),
    "text": ("name", "holds a str"),
    "10 MB": (b"a: " + b"x" * 10**7, "larger than 1 MB"),
    "1 MB of rows": ("rows:\n" + "".join(f" r{row}: {{ipc: 1}}\n" for row in range(50_000)), "more than 15000 values"),
    "deep flow": ("a: " + "[" * 900_000, "nested deeper"),
    "deep closed flow": ("[" * 50_000 + "]" * 50_000, "nested deeper"),
    "deep block": (DEEP_BLOCK, "nested deeper"),
    "deep dashes": ("- " * 50_000, "nested deeper"),
    "laughs": (LAUGHS, "more than 15000 values"),
    "merges": (MERGES, "more than 15000 values"),
    "self": ("a: &a [*a]", "refers to nothing complete"),
    "undefined alias": ("a: *b", "refers to nothing complete"),
    "not UTF-8": (b"name: caf\xe9\n", "not UTF-8"),
    "UTF-16": ("name: x".encode("utf-16"), "not UTF-8"),
    "tab": ("name:\n\tx: 1\n", "line 2"),
    "python": ("name: !!python/object/apply:os.system [touch canary]", "could not determine a constructor"),
    "doubled": ("name: a\nname: b\n", "duplicate key"),
    "two documents": ("name: a\n---\nname: b\n", "single document"),
    "NUL": ("name: \0", "not allowed"),
    "long number": ("threads: " + "9" * 5000, "digits"),
    "date": ("name: 2026-01-01", "a date is not expected"),
    "set": ("name: !!set {a, b}", "a set is not expected"),
    "bytes": ("name: !!binary aGk=", "a bytes is not expected"),
    "number as key": ("1: x", "is no text"),
    "nothing as key": ("~: x", "is no text"),
    "newline in key": ('"a\\nb": 1', "unknown key 'a\\nb'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    text, reason = HOSTILE[name]
    assert reason in refusal_of_text(tmp_path, text)
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text(alphabet="ab:-[]{}&*!<? \n'\"#|>%@`0.", max_size=80).map(str.encode)))
def test_any_bytes_are_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    refusal_of_text(tmp_path, data)


def test_a_study_with_stages_of_its_own_is_refused(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "studies/tiny")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (folder / "dvc.yaml").write_text("stages: {}\n")
    assert load_study(folder).name == "tiny"
    (tmp_path / "dvc.yaml").write_text("stages: {images: {}}\n")
    with pytest.raises(UserError, match=r"dvc\.yaml: is not .*/dvc\.yaml, whose .*; copy that over it") as caught:
        load_study(folder)
    assert str(caught.value).isprintable()


def test_looking_up(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path))
    assert view_of_row(study, OURS) is study.views[SGR]
    assert set(rows_of_view(study, SGR)) == {f"{SGR}-selected-ipc1-s0", f"{CELL}-sgr-ipc1-s0", OURS}
    for look in (view_of_row, rows_of_view):
        with pytest.raises(UserError, match=r"unknown (view|row) 'x': known are digits"):
            look(study, "x")
    with pytest.raises(UserError, match="unknown thing 'b': known are none"):
        look_up({}, "thing", "b")


def test_a_stage_runs_for_ids_of_its_own(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path))
    runs = {"images": "digits", "labels": CELL, "forgetting": CELL, "teachers": PLAIN, "consistency": SGR}
    runs |= {"subset": SGR, "finetune": SGR, "distill": OURS, "evaluate": OURS, "train-full": CELL, "report": "tiny"}
    for stage, ident in runs.items():
        require_id(study, stage, ident)
    for stage, ident in (("images", CELL), ("consistency", PLAIN), ("distill", "no-row"), ("report", "../x")):
        with pytest.raises(UserError, match=r"unknown|not allowed"):
            require_id(study, stage, ident)
    with pytest.raises(UserError, match="unknown stage 'distil': did you mean 'distill'"):
        require_id(study, "distil", OURS)


def test_params_are_json(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path))
    plain = params_of(study)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["grid"]["forgetting"] == [CELL]
    assert params_of(Recipe())["iterations"] == 10000
    assert params_of({"a": (1, 2.5)}) == {"a": [1, 2.5]}


def test_pydantic_is_not_needed_to_use_the_sections() -> None:
    code = "import sys, robustdd.params as p; p.Recipe(); assert not {'pydantic', 'ruamel'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
