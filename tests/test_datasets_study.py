"""A study on people's own images: wrong labels that nobody knows of, no test images, files that come and go."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from robustdd.collect import collect
from robustdd.errors import RobustddError, UserError
from tasks import images as stage
from tasks.caching import Outcome
from tasks.reading import column, read_table
from tests.pipeline import built_once, run, run_all
from tests.studies import CELL, PLAIN, SGR, tiny_study, write_study

CLASSES = ("disc", "ring", "stripes")
EACH = 40


def write_own(root: Path, clean: bool = False, each: int = EACH) -> Path:
    """Noisy images of three shapes with a table of labels, every fifth of them wrong."""
    draw = np.random.default_rng(0)
    rows = ["id,label,clean_label" if clean else "id,label"]
    radius = np.hypot(*np.meshgrid(np.arange(8) - 3.5, np.arange(8) - 3.5))
    shapes = (radius < 2.5, (radius > 2) & (radius < 4), np.arange(64).reshape(8, 8) % 16 < 8)
    root.mkdir(parents=True, exist_ok=True)
    for number in range(3 * each):
        right = number % 3
        wrong = (right + (number % 5 == 0)) % 3
        array = np.clip(shapes[right] * 160 + draw.normal(60, 25, (8, 8)), 0, 255).astype(np.uint8)
        Image.fromarray(array).save(root / f"{number:03d}.png")
        rows.append(f"{number:03d}.png,{CLASSES[wrong]}" + (f",{CLASSES[right]}" if clean else ""))
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def own_study(path: Path, **noise: Any) -> dict[str, Any]:
    study = tiny_study()
    dataset = {"kind": "folder", "path": str(path), "channels": 1, "test_set": False, "holdout": 0.25}
    study["datasets"]["digits"] = {**dataset, "whitening": "standard"}
    study["cells"][CELL]["noise"] = noise or {"kind": "none"}
    ours = f"{CELL}-ours-ipc1-s0"
    study["rows"] = {ours: study["rows"][ours], f"{PLAIN}-random-ipc1-s0": study["rows"][f"{CELL}-random-ipc1-s0"]}
    return study


def images_of(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in (folder / "data" / "images" / "digits").iterdir()}


def made(outcomes: list[Outcome]) -> list[str]:
    return [outcome.unit for outcome in outcomes if not outcome.cached]


@pytest.fixture(scope="module")
def own(shared: Path) -> Path:
    """The whole study of such images; read only."""

    def build(folder: Path) -> bool:
        return bool(run_all(write_study(folder, own_study(write_own(folder / "mine")))))

    return built_once(shared / "own" / "tiny", build)


def test_without_test_images_accuracy_is_on_the_hold_out_and_the_report_says_so(own: Path) -> None:
    (study,) = collect(own)
    assert all(row.noisy_test and row.holdout_accuracy is None for row in study.rows)
    assert {row.test_images for row in study.rows} == {30} == {full.test_images for full in study.full}
    assert all(full.noisy_test for full in study.full)
    page = (own / "data" / "report.html").read_text()
    assert "there are no test images; accuracy is that on 30 held-out training images" in page
    assert "held-out images an accuracy of" in page
    assert "test.safetensors" not in images_of(own)


def test_labels_that_nobody_vouches_for_are_observed_and_nothing_is_scored(own: Path) -> None:
    table = read_table(own / f"data/labels/{CELL}/labels.parquet")
    assert table.column_names == ["id", "observed", "holdout"]
    notes = json.loads((own / f"data/labels/{CELL}/labels.manifest.json").read_bytes())["notes"]
    assert notes["transition_matrix"] is None and notes["realised_rate"] is None
    given = dict(line.split(",") for line in (own / "mine" / "labels.csv").read_text().splitlines()[1:])
    assert [CLASSES[label] for label in table["observed"].to_pylist()] == [
        given[one] for one in table["id"].to_pylist()
    ]
    reliability = read_table(own / f"data/subset/{SGR}/reliability.parquet")
    assert "clean" not in reliability.column_names and reliability.num_rows == 90
    report = own / "data" / "report" / "tiny"
    assert not list(report.glob("transition-*")) and (report / f"suspects-{SGR}.csv").is_file()


def test_oracle_weights_need_clean_labels(own: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(own, tmp_path / "tiny"))
    study = own_study(folder / "mine")
    study["views"][f"{CELL}-oracle"] = {"cell": CELL, "weights": "oracle", "weights_from": "labels"}
    write_study(folder, study)
    run(folder, "images", "digits")
    run(folder, "labels", CELL)
    with pytest.raises(UserError, match="weights oracle need clean labels, which this data set has not"):
        run(folder, "teachers", f"{CELL}-oracle")


def test_known_clean_labels_are_compared_with_the_given_ones(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "tiny", own_study(write_own(tmp_path / "mine", clean=True)))
    run(folder, "images", "digits")
    run(folder, "labels", CELL)
    table = read_table(folder / f"data/labels/{CELL}/labels.parquet")
    observed, clean = column(table, "observed"), column(table, "clean")
    notes = json.loads((folder / f"data/labels/{CELL}/labels.manifest.json").read_bytes())["notes"]
    assert notes["realised_rate"] == float((observed != clean).double().mean()) > 0.1
    matrix = torch.tensor(notes["transition_matrix"])
    assert matrix[0, 0] == float((observed[clean == 0] == 0).double().mean())


@pytest.mark.parametrize("clean", [True, False])
def test_a_noise_of_the_params_starts_from_the_best_labels_there_are(tmp_path: Path, clean: bool) -> None:
    noise = {"kind": "pairflip", "rate": 0.9, "draw": "exact"}
    folder = write_study(tmp_path / "tiny", own_study(write_own(tmp_path / "mine", clean), **noise))
    run(folder, "images", "digits")
    run(folder, "labels", CELL)
    table = read_table(folder / f"data/labels/{CELL}/labels.parquet")
    source = read_table(images_of(folder)["train.parquet"])
    base = column(source, "clean" if clean else "label")
    assert torch.equal(column(table, "clean"), base)
    assert abs(float((column(table, "observed") != base).double().mean()) - 0.9) < 0.02


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
