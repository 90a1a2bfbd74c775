"""Artifacts of one study serve another under the same code; tampered ones do not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from robustdd.store.artifacts import verify
from tasks.cache import cache as caching
from tests.support.pipeline import bits, change, executed, flip, names, run, run_all
from tests.support.studies import PLAIN, SGR, tiny_study


@pytest.fixture
def twin(study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second study beside the built one, under the same code, with images and labels alone."""
    monkeypatch.setattr(caching, "ROOT", study.parent.parent)
    other = study.parent / "other"
    change(other, tiny_study() | {"name": "other"})
    for stage in ("images", "labels", "forgetting"):
        shutil.copytree(study / "data" / stage, other / "data" / stage)
    return other


def refuse(*_: Any) -> None:
    raise AssertionError("it was computed")


def test_an_artifact_of_another_study_is_taken_and_nothing_is_trained(
    study: Path, twin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("teachers.train_teacher", "consistency.consistency", "finetune.clean_target", "distill.distill"):
        monkeypatch.setattr(f"tasks.stages.{place}", refuse)
    for place in ("evaluate.evaluate_synthetic", "train_full.train_on_noisy", "subset.reliable_subset"):
        monkeypatch.setattr(f"tasks.stages.{place}", refuse)
    assert executed(run_all(twin, but=("report",))) == set()
    own = {name: sha for name, sha in bits(study).items() if not name.startswith("report/")}
    assert bits(twin) == own


def test_a_view_of_another_name_is_taken_too(study: Path, twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = tiny_study()
    params["views"]["again"] = dict(params["views"][PLAIN])
    change(twin, params)
    monkeypatch.setattr("tasks.stages.teachers.train_teacher", refuse)
    assert names(run(twin, "teachers", "again")) == []
    assert bits(twin, "teachers/again").keys() == {
        name.replace(PLAIN, "again") for name in bits(study, f"teachers/{PLAIN}")
    }


def test_a_tampered_twin_is_not_taken(study: Path, twin: Path) -> None:
    flip(study / f"data/teachers/{SGR}/teacher-000.safetensors")
    (study / f"data/teachers/{SGR}/teacher-001.manifest.json").write_bytes(b"{")
    assert names(run(twin, "teachers", SGR)) == ["teacher-000", "teacher-001"]
    for index in range(2):
        verify(twin / "data/teachers" / SGR, f"teacher-00{index}")
