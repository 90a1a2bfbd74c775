"""Data sets in a params.yaml: keys that do not belong, and a study that has nothing to measure accuracy on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robustdd.params import Dataset
from robustdd.study.load import load_study
from tests.support.studies import refusal, tiny_study, write_study

FOLDER = {"kind": "folder", "path": "mine", "image_size": 8}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "kind": ({"kind": "mnist"}, "datasets.digits.kind: expected 'digits', 'cifar10', 'cifar100' or 'folder'"),
    "path of digits": ({"kind": "digits", "path": "x"}, "path: belongs to kind cifar10 and cifar100 and folder, found"),
    "download of a folder": (
        {**FOLDER, "download": True},
        "download: belongs to kind cifar10 and cifar100, found kind",
    ),
    "classes of cifar": (
        {"kind": "cifar10", "classes": ["a", "b"]},
        "classes: belongs to kind folder, found kind cifar10",
    ),
    "size of cifar": ({"kind": "cifar100", "image_size": 8}, "image_size: belongs to kind folder"),
    "grey cifar": ({"kind": "cifar10", "channels": 1}, "channels: belongs to kind folder"),
    "two channels": ({**FOLDER, "channels": 2}, "channels: expected 1 or 3, found 2"),
    "cifar without a test": ({"kind": "cifar10", "test_set": False}, "test_set: belongs to kind folder"),
    "no path": ({"kind": "folder"}, "path: is missing; kind folder needs that of its images"),
    "download to nowhere": ({"kind": "cifar10", "download": True}, "path: is missing; download needs a folder"),
    "empty path": ({**FOLDER, "path": " "}, "path: ' ' is not allowed"),
    "line end": ({**FOLDER, "path": "a\nb"}, "path: 'a\\nb' is not allowed"),
    "nul": ({**FOLDER, "path": "a\0b"}, "path: 'a\\x00b' is not allowed"),
    "long part": ({**FOLDER, "path": "x" * 300}, "is longer than a path can be"),
    "long path": ({**FOLDER, "path": "x/" * 3000}, "is longer than a path can be"),
    "one class": ({**FOLDER, "classes": ["a"]}, "classes: expected 2 to 1,000 different names, found 1"),
    "class twice": ({**FOLDER, "classes": ["a", "a"]}, "classes: expected 2 to 1,000 different names"),
    "many classes": ({**FOLDER, "classes": [str(name) for name in range(1001)]}, "different names, found 1,001"),
    "class without a name": ({**FOLDER, "classes": ["a", ""]}, "classes: '' is not allowed"),
    "class with a line end": ({**FOLDER, "classes": ["a", "b\n"]}, "classes: 'b\\n' is not allowed"),
    "number for a class": ({**FOLDER, "classes": [0, 1]}, "classes.0: expected a valid string, found 0"),
    "nothing to measure on": (
        {**FOLDER, "test_set": False},
        "holdout: is 0 and test_set false; expected a share above 0 to measure accuracy on",
    ),
    "more than all": (
        {**FOLDER, "holdout": 0.3, "train_share": 0.8},
        "train_share: expected at most 0.7 beside the hold-out, found 0.8",
    ),
    "no size": ({**FOLDER, "image_size": 0}, "image_size: expected greater than or equal to 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_data_set_that_makes_no_sense_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    study = tiny_study()
    study["datasets"]["digits"], reason = WRONG[name]
    assert reason in refusal(write_study(tmp_path, study))


@pytest.mark.parametrize(
    "dataset",
    [
        {"kind": "cifar10"},
        {"kind": "cifar100", "path": "/somewhere", "download": True},
        FOLDER,
        {**FOLDER, "test_set": False, "holdout": 0.1, "channels": 1, "classes": ["a", "b"]},
    ],
)
def test_a_data_set_that_makes_sense_is_taken_whether_or_not_it_is_there(
    tmp_path: Path, dataset: dict[str, Any]
) -> None:
    study = tiny_study()
    study["datasets"]["digits"] = dataset
    expected = Dataset(**{name: tuple(value) if isinstance(value, list) else value for name, value in dataset.items()})
    assert load_study(write_study(tmp_path, study)).datasets["digits"] == expected


def test_neighbours_and_matrices_know_the_size_of_cifar(tmp_path: Path) -> None:
    study = tiny_study()
    study["datasets"]["digits"] = {"kind": "cifar10", "holdout": 0.5}
    study["neighbours"]["k"] = 25_000
    assert "25000 neighbours need more than 25000 training images, 'digits' has 25000" in refusal(
        write_study(tmp_path, study)
    )
    study["neighbours"]["k"] = 24_999
    assert load_study(write_study(tmp_path, study)).neighbours.k == 24_999
    (cell,) = study["cells"].values()
    cell["noise"] = {"kind": "matrix", "matrix": [[1.0]]}
    assert "expected 10 rows of 10 numbers" in refusal(write_study(tmp_path, study))
