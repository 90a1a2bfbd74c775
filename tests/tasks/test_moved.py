"""Code or inputs that move while a stage runs, damaged inputs, and names that are no names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from robustdd.errors import CorruptArtifact, RobustddError, UserError
from robustdd.store.artifacts import read_manifest, verify
from tasks.cache import unit as units
from tasks.stages import labels
from tests.support.pipeline import change, changed, flip, names, run
from tests.support.studies import CELL


def test_code_edited_mid_run_keeps_the_artifact_and_refuses_the_stage(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, edited = units.code_hash, []
    monkeypatch.setattr(units, "code_hash", lambda name: "e" * 64 if edited else real(name))
    monkeypatch.setattr(labels, "realised_rate", lambda *_: edited.append(1) or 0.25)
    change(study, changed("cells", CELL, "noise", "seed", to=5))
    record = (study / f"data/runs/labels/{CELL}.run.json").read_bytes()
    with pytest.raises(
        RobustddError, match="its code changed while it ran; the result is kept under the code"
    ) as caught:
        run(study, "labels", CELL)
    assert caught.value.exit_code == 1 and str(caught.value).isprintable()
    manifest = verify(study / "data/labels" / CELL, "labels")
    assert manifest.code == real("tasks.stages.labels") and manifest.notes["realised_rate"] == 0.25
    assert (study / f"data/runs/labels/{CELL}.run.json").read_bytes() == record
    edited.clear()  # the code that made it is back
    assert names(run(study, "labels", CELL)) == []
    edited.append(1)
    assert names(run(study, "labels", CELL)) == ["labels"]


def test_inputs_moved_mid_run_keep_the_artifact_and_refuse_the_stage(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = study / "data/images/digits", study.parent / "other"
    change(shutil.copytree(study, other) and other, changed("datasets", "digits", "split_seed", to=1))
    run(other, "images", "digits")
    real = labels.realised_rate

    def move(*arguments: Any) -> float:
        shutil.copytree(other / "data/images/digits", folder, dirs_exist_ok=True)
        return real(*arguments)

    monkeypatch.setattr(labels, "realised_rate", move)
    (study / f"data/labels/{CELL}/labels.parquet").unlink()
    with pytest.raises(RobustddError, match="its inputs changed while it ran"):
        run(study, "labels", CELL)
    before = read_manifest(study / "data/labels" / CELL, "labels").inputs
    assert names(run(study, "labels", CELL)) == ["labels"]
    assert read_manifest(study / "data/labels" / CELL, "labels").inputs != before


@pytest.mark.parametrize("ident", ["../x", "/etc", "~", "a;rm", "$(id)", "A", "", "x" * 62, "a\nb", "a\0b", "\u0430b"])
@pytest.mark.parametrize("stage", ["labels", "report"])
def test_hostile_ids_are_refused_before_anything_is_made(study: Path, stage: str, ident: str) -> None:
    before = sorted(study.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        run(study, stage, ident)
    assert str(caught.value).isprintable()
    assert sorted(study.parent.rglob("*")) == before


def test_a_missing_and_a_tampered_input_stop_the_stage(study: Path) -> None:
    flip(study / "data/images/digits/train.safetensors")
    with pytest.raises(CorruptArtifact, match=r"train\.safetensors: sha256 does not match its manifest"):
        run(study, "labels", CELL)
    shutil.rmtree(study / "data/images")
    with pytest.raises(UserError, match=r"train of images digits is missing; run `dvc repro images@digits`"):
        run(study, "labels", CELL)
