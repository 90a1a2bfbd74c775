"""A study on people's own images: wrong labels that nobody knows of, and no test images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from robustdd.errors import UserError
from robustdd.reporting.collect import collect
from tasks.files import column, read_table
from tests.data.own_images import CLASSES, images_of, own_study, write_own
from tests.support.pipeline import built_once, run, run_all
from tests.support.studies import CELL, SGR, write_study


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
    assert table.column_names == ["id", "observed", "holdout", "used"]
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
