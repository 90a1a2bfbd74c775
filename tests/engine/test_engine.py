"""What `auto` is settled to, before any key is formed; and that the keys hold it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robustdd.devices import settled
from robustdd.engine.settings import PLAIN, REPAYS, student_engine, teacher_engine
from robustdd.errors import UserError
from robustdd.params import Dataset, Engine, Network, Recipe, Teachers
from robustdd.study.load import load_study
from tasks.cache.unit import Unit
from tests.engine import engine_choices
from tests.support.pipeline import CODE, change, keys, run, units
from tests.support.studies import CELL, SGR, tiny_study
from tests.support.studies import PLAIN as PLAIN_VIEW

CIFAR, FOLDER = Dataset("cifar10"), Dataset("folder")
PAPER = Recipe()
AUTO = Engine()


def test_a_short_run_compiles_nothing_and_a_long_one_does() -> None:
    short = replace(PAPER, iterations=10, inner_steps=5)
    assert student_engine(AUTO, Network(), CIFAR, short, "cpu") == PLAIN
    assert student_engine(AUTO, Network(), CIFAR, PAPER, "cpu") == replace(PLAIN, compile="on")
    assert teacher_engine(AUTO, Network(), CIFAR, Teachers(), "cpu") == replace(PLAIN, compile="on")
    assert teacher_engine(AUTO, Network(8, 1), CIFAR, Teachers(epochs=1), "cpu") == PLAIN


def test_the_demo_and_what_params_do_not_tell_stay_as_they_are_written() -> None:
    study = load_study(CODE)
    demo, recipe = study.datasets["digits"], study.recipes["demo"]
    assert student_engine(AUTO, study.network, demo, recipe, "cpu") == PLAIN
    assert teacher_engine(AUTO, study.network, demo, study.teachers, "cpu") == PLAIN
    assert student_engine(AUTO, Network(), FOLDER, PAPER, "cpu") == PLAIN
    assert teacher_engine(AUTO, Network(), FOLDER, Teachers(), "cuda") == PLAIN


def test_activations_are_kept_while_all_steps_of_them_are_small() -> None:
    small = replace(PAPER, batch_size=10)
    assert student_engine(AUTO, Network(), CIFAR, small, "cpu").keep == "on"
    assert student_engine(AUTO, Network(), CIFAR, PAPER, "cpu").keep == "off"
    assert student_engine(AUTO, Network(), CIFAR, PAPER, "cuda").keep == "on"


@pytest.mark.parametrize("switch", ["on", "off"])
def test_what_is_said_is_done(switch: str) -> None:
    asked = Engine(switch, "bfloat16", switch, 7)  # type: ignore[arg-type]
    assert student_engine(asked, Network(8, 1), CIFAR, PAPER, "cpu") == asked
    assert teacher_engine(asked, Network(8, 1), CIFAR, Teachers(), "cpu") == replace(asked, keep="off", chunk=0)


def test_the_unrolled_graph_has_no_settings() -> None:
    unrolled = replace(PAPER, backend="unroll")
    assert student_engine(Engine("on", keep="on", chunk=3), Network(), CIFAR, unrolled, "cpu") == PLAIN
    with pytest.raises(UserError, match=r"engine\.precision: bfloat16 needs backend adjoint or tesla, found unroll"):
        student_engine(Engine(precision="bfloat16"), Network(), CIFAR, unrolled, "cpu")


def test_auto_is_the_device_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert [settled(asked) for asked in ("auto", "cpu", "cuda")] == [expected, "cpu", "cuda"]


def test_keys_hold_what_was_settled_and_saying_it_outright_is_the_same_key(study: Path) -> None:
    before, params = keys(study), tiny_study()
    change(study, {**params, "engine": {"compile": "off", "keep": "off"}, "device": "auto"})
    outright = keys(study)
    assert {name for name in before if before[name] != outright[name]} <= {"report tiny report"}
    change(study, {**params, "engine": {"precision": "bfloat16"}})
    after = keys(study)
    stages = {name.split()[0] for name in before if before[name] != after[name]}
    assert stages == {"teachers", "finetune", "distill", "report"}
    change(study, {**params, "engine": {"chunk": 3, "keep": "on"}})
    after = keys(study)
    assert {name.split()[0] for name in before if before[name] != after[name]} == {"distill", "report"}


def test_stages_run_under_the_settings_that_they_are_given(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Engine] = []
    from robustdd.engine import compiled_student as fused_student
    from robustdd.engine import train_step as fused_training

    for module in (fused_student, fused_training):
        original = module.means_of
        spy = lambda engine, like, original=original: seen.append(engine) or original(engine, like)  # noqa: E731
        monkeypatch.setattr(module, "means_of", spy)
    change(study, {**tiny_study(), "engine": {"precision": "bfloat16", "keep": "on", "chunk": 2}})
    run(study, "teachers", SGR)
    assert set(seen) == {replace(PLAIN, precision="bfloat16")}
    seen.clear()
    for stage, ident in (("consistency", SGR), ("subset", SGR), ("finetune", SGR)):
        run(study, stage, ident)
    assert set(seen) == {replace(PLAIN, precision="bfloat16")}
    seen.clear()
    run(study, "distill", f"{CELL}-ours-ipc1-s0")
    assert set(seen) == {Engine("off", "bfloat16", "on", 2)}


def test_a_random_row_has_no_engine(built: Path) -> None:
    (unit,) = units(built, "distill", f"{CELL}-random-ipc1-s0")
    assert isinstance(unit, Unit) and unit.params["engine"] is None
    assert all(one.params["engine"] == PLAIN for one in units(built, "teachers", PLAIN_VIEW))


def test_the_document_tells_what_auto_picks() -> None:
    text = engine_choices.DOCUMENT.read_text(encoding="utf-8")
    assert engine_choices.written(text) == text, "python -m tests.engine.engine_choices writes it"
    works = list(engine_choices.works())
    assert len(works) >= 7
    for device in ("cpu", "cuda"):
        for work in works:
            compiled = work.line(device).split(" | ")[4]
            assert compiled == ("on" if work.operations() >= REPAYS[device] else "off")
