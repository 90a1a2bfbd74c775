"""The stage of the images: what makes them anew, and bad input that leaves nothing behind."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from robustdd.errors import RobustddError, UserError
from tasks.stages import images as stage
from tests.data.own_images import CLASSES, images_of, made, own_study, write_own
from tests.support.pipeline import run
from tests.support.studies import write_study


def test_changed_files_make_the_images_anew_and_missing_ones_do_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = write_own(tmp_path / "mine", each=10)
    folder = write_study(tmp_path / "tiny", own_study(mine))
    assert made(run(folder, "images", "digits")) == ["train", "whitening"]
    assert made(run(folder, "images", "digits")) == []
    before = images_of(folder)["train.safetensors"].read_bytes()
    mine.rename(tmp_path / "away")
    with caplog.at_level(logging.WARNING, "robustdd.run"):
        assert made(run(folder, "images", "digits")) == []
    assert "is no folder" in caplog.text and "the artifact that was made of it stands" in caplog.text
    images_of(folder)["train.parquet"].unlink()
    with pytest.raises(UserError, match="is no folder"):
        run(folder, "images", "digits")
    (tmp_path / "away").rename(mine)
    assert made(run(folder, "images", "digits")) == ["train"]
    (mine / "007.png").write_bytes((mine / "008.png").read_bytes())
    assert made(run(folder, "images", "digits")) == ["train", "whitening"]
    assert images_of(folder)["train.safetensors"].read_bytes() != before
    (mine / "007.png").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"007\.png: is damaged"):
        run(folder, "images", "digits")


def test_the_whitening_is_in_no_key_of_the_pixels(tmp_path: Path) -> None:
    study = own_study(write_own(tmp_path / "mine", each=10))
    folder = write_study(tmp_path / "tiny", study)
    run(folder, "images", "digits")
    study["datasets"]["digits"]["whitening"] = "zca"
    assert made(run(write_study(folder, study), "images", "digits")) == ["whitening"]
    study["datasets"]["digits"] |= {"holdout": 0.5}
    assert made(run(write_study(folder, study), "images", "digits")) == ["train", "whitening"]


def test_files_that_change_while_they_are_read_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = write_own(tmp_path / "mine", each=10)
    folder = write_study(tmp_path / "tiny", own_study(mine))
    found = stage._found

    def changed(*arguments: Any) -> str:
        told = found(*arguments)
        (mine / "003.png").write_bytes((mine / "004.png").read_bytes())
        return told

    monkeypatch.setattr(stage, "_found", changed)
    with pytest.raises(RobustddError, match="images digits: its files changed meanwhile; run again"):
        run(folder, "images", "digits")
    assert "train.parquet" not in images_of(folder)


@pytest.mark.parametrize("spoil", ["image", "table", "class", "holdout"])
def test_bad_input_ends_the_stage_with_nothing_written(tmp_path: Path, spoil: str) -> None:
    mine = write_own(tmp_path / "mine", each=4)
    study = own_study(mine)
    if spoil == "image":
        (mine / "003.png").write_bytes((mine / "003.png").read_bytes()[:60])
    elif spoil == "table":
        (mine / "labels.csv").write_text("id,label\n000.png,1.5\n")
    elif spoil == "class":
        study["datasets"]["digits"]["classes"] = ["disc", "ring"]
    else:
        study["datasets"]["digits"]["holdout"] = 0.01
    folder = write_study(tmp_path / "tiny", study)
    with pytest.raises(UserError) as caught:
        run(folder, "images", "digits")
    assert caught.value.exit_code == 2 and str(caught.value).isprintable()
    written = [path for path in (folder / "data").rglob("*") if path.is_file()]
    assert written == []


def test_a_test_set_of_ones_own_is_read_by_the_evaluation(tmp_path: Path) -> None:
    write_own(tmp_path / "mine" / "train", each=10)
    write_own(tmp_path / "mine" / "test", each=5)
    study = own_study(tmp_path / "mine")
    study["datasets"]["digits"] |= {"test_set": True, "holdout": 0.0}
    folder = write_study(tmp_path / "tiny", study)
    assert made(run(folder, "images", "digits")) == ["train", "test", "whitening"]
    assert load_file(images_of(folder)["test.safetensors"])["images"].shape == (15, 1, 8, 8)
    assert json.loads(images_of(folder)["classes.json"].read_bytes()) == list(CLASSES)
