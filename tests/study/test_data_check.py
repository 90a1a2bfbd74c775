"""`check`: every image and every label of a study is read before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustdd.errors import UserError
from robustdd.study.check_data import data_lines
from robustdd.study.load import load_study
from tests.cli.test_cli_check import command, one_error
from tests.data.own_images import own_study, write_own
from tests.support.studies import CELL, tiny_study, write_study


def test_it_counts_images_and_wrong_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", write_study(tmp_path, tiny_study())) == 0
    said = capsys.readouterr().out
    assert "dataset digits: 500 training images (0 held out) and 1,297 test images of 1 x 8 x 8 pixels in 10" in said
    assert f"cell {CELL}: 38.60 % of the labels wrong" in said


@pytest.mark.parametrize(
    ("clean", "told"), [(False, "labels as given, right or wrong"), (True, "20.00 % of the labels")]
)
def test_own_images(tmp_path: Path, clean: bool, told: str) -> None:
    folder = write_study(tmp_path / "tiny", own_study(write_own(tmp_path / "mine", clean=clean)))
    lines = list(data_lines(load_study(folder), folder))
    assert lines[0].startswith("dataset digits: 120 training images (30 held out) and no test images of 1 x 8 x 8")
    assert lines[1].startswith(f"cell {CELL}: {told}")


def test_a_mistake_in_the_data_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = write_own(tmp_path / "mine", each=5)
    study = own_study(Path("..") / "mine")
    folder = write_study(tmp_path / "tiny", study)
    (mine / "007.png").write_bytes(b"damaged")
    assert command("check", folder, "--no-data") == 0
    capsys.readouterr()
    assert command("check", folder) == 2
    assert "mine/007.png: is damaged or no image" in one_error(capsys)
    (mine / "007.png").unlink()
    assert command("check", folder) == 2
    assert "labels.csv: has 15 rows for 14 images" in one_error(capsys)
    study["datasets"]["digits"]["path"] = "elsewhere"
    assert command("check", write_study(folder, study)) == 2
    assert "elsewhere is no folder" in one_error(capsys)


def test_a_hold_out_of_nothing_and_a_noise_that_does_not_fit_are_refused(tmp_path: Path) -> None:
    mine = write_own(tmp_path / "mine", each=5)
    study = own_study(mine)
    study["datasets"]["digits"]["holdout"] = 0.01
    folder = write_study(tmp_path / "tiny", study)
    with pytest.raises(UserError, match=r"holdout: 0\.01 of 15 images is none"):
        list(data_lines(load_study(folder), folder))
    study = own_study(mine, kind="matrix", matrix=[[0.5, 0.5], [0.5, 0.5]])
    folder = write_study(tmp_path / "tiny", study)
    with pytest.raises(UserError, match="noise matrix: expected 3 x 3, got 2 rows of 2"):
        list(data_lines(load_study(folder), folder))


def test_what_is_too_small_for_its_rows_is_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tiny_study()
    row = next(ident for ident, one in study["rows"].items() if one["method"] == "ours")
    study["rows"][row]["ipc"] = 400
    assert command("check", write_study(tmp_path, study)) == 2
    assert f"row {row}: ipc is 400, expected at most 36, the images with the observed label '2'" in one_error(capsys)
    study = own_study(write_own(tmp_path / "mine", each=5))
    study["neighbours"]["k"] = 12
    assert command("check", write_study(tmp_path / "tiny", study)) == 2
    assert f"cell {CELL}: neighbours.k is 12, expected less than 11 images" in one_error(capsys)
