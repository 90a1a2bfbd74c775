"""Work that is not done twice: start epochs that are there, and iterations before a kill."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from robustdd.distillation import distill
from tasks.cache import unit as units
from tasks.stages import finetune
from tests.support.pipeline import bits, change, changed, names, run
from tests.support.studies import CELL, SGR, tiny_study

OURS = f"{CELL}-ours-ipc1-s0"


@pytest.fixture
def fine_tuned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Teacher and start epoch of every clean target that is computed."""
    made: list[tuple[int, int]] = []
    original = finetune.clean_target

    def counted(*arguments: Any) -> torch.Tensor:
        made.append(arguments[6:8])
        return original(*arguments)

    monkeypatch.setattr(finetune, "clean_target", counted)
    return made


def targets(study: Path, index: int) -> dict[int, torch.Tensor]:
    with safe_open(study / f"data/finetune/{SGR}/clean-target-{index:03d}.safetensors", "pt") as file:
        return dict(zip(file.get_tensor("starts").tolist(), file.get_tensor("targets"), strict=True))


def test_a_new_start_epoch_computes_the_missing_target_alone(study: Path, fine_tuned: list[tuple[int, int]]) -> None:
    before = bits(study)
    old = targets(study, 1)
    change(study, changed("finetune", "last_start", to=3))
    assert names(run(study, "finetune", SGR)) == ["clean-target-000", "clean-target-001"]
    assert sorted(fine_tuned) == [(0, 3), (1, 3)]
    new, grown = targets(study, 1), bits(study)
    assert list(new) == [0, 1, 2, 3] and all(torch.equal(new[start], old[start]) for start in old)
    shutil.rmtree(study / "data/finetune" / SGR)
    run(study, "finetune", SGR)
    assert len(fine_tuned) == 2 + 8 and bits(study) == grown
    change(study, tiny_study())
    assert names(run(study, "finetune", SGR)) == ["clean-target-000", "clean-target-001"]
    assert len(fine_tuned) == 10 and bits(study) == before


def test_targets_under_other_params_or_code_are_not_kept(
    study: Path, fine_tuned: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(study, changed("finetune", "epochs", to=2))
    run(study, "finetune", SGR)
    assert len(fine_tuned) == 6
    change(study, changed("finetune", "last_start", to=3) | {"finetune": {"epochs": 2, "last_start": 3}})
    monkeypatch.setattr(units, "code_hash", lambda name: "1" * 64)
    run(study, "finetune", SGR)
    assert len(fine_tuned) == 6 + 8


class KilledError(Exception):
    """Stands for a kill: no handler of the project knows it."""


@pytest.fixture
def iterations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every iteration of a distillation as it begins; it ends before the one that stands in the list negated."""
    begun: list[int] = []
    original = distill.draw_iteration

    def noted(*arguments: Any) -> Any:
        if -arguments[-1] in begun:
            raise KilledError
        begun.append(arguments[-1])
        return original(*arguments)

    monkeypatch.setattr(distill, "draw_iteration", noted)
    return begun


def test_a_killed_task_resumes_and_one_of_other_params_or_code_begins_anew(
    study: Path, iterations: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before, checkpoints = bits(study), study / ".robustdd/checkpoints"
    shutil.rmtree(study / "data/distill" / OURS)
    iterations.append(-5)
    with pytest.raises(KilledError):
        run(study, "distill", OURS)
    assert iterations == [-5, 0, 1, 2, 3, 4] and len(list(checkpoints.rglob("step-*"))) == 2
    params, code = (Path(shutil.copytree(study, study.parent / name)) for name in ("params", "code"))
    iterations.clear()
    change(params, changed("recipes", "tiny", "image_step", to=5.0))
    run(params, "distill", OURS)
    assert iterations == list(range(6)), "a checkpoint of other params was used"
    assert caplog.messages[-1].endswith("are not used: params.recipe.image_step was 10.0, is 5.0")
    iterations.clear()
    with monkeypatch.context() as patch:
        patch.setattr(units, "code_hash", lambda name: "c" * 64)
        run(code, "distill", OURS)
    assert iterations == list(range(6)), "a checkpoint of other code was used"
    assert "are not used: code was" in caplog.messages[-1]
    iterations.clear()
    run(study, "distill", OURS)
    assert iterations == [4, 5] and bits(study) == before
    assert not [path for folder in (study, params, code) for path in (folder / ".robustdd").rglob("step-*")]
