"""Noise that makes no sense is told in one line before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robustdd.study.load import load_study
from tests.support.studies import CELL, refusal, tiny_study, write_study

SHA = "0" * 64
EYE = [[float(row == column) for column in range(10)] for row in range(10)]

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "kind": ({"kind": "worse"}, "kind: expected 'none', 'symmetric', 'asymmetric', 'pairflip', 'matrix' or 'human'"),
    "rate 1": ({"kind": "pairflip", "rate": 1.0}, "rate: expected less than 1"),
    "rate of a matrix": ({"kind": "matrix", "matrix": EYE, "rate": 0.2}, "rate: has no meaning for kind matrix"),
    "human rate": ({"kind": "human", "annotation": "worse", "rate": 0.2}, "rate: has no meaning for kind human"),
    "human seed": ({"kind": "human", "annotation": "worse", "seed": 1}, "kind: human labels are not drawn; leave"),
    "human draw": ({"kind": "human", "annotation": "worse", "draw": "exact"}, "kind: human labels are not drawn"),
    "which": ({"kind": "human"}, "annotation: belongs to kind human and to no other, found kind human"),
    "worst": ({"kind": "human", "annotation": "worst"}, "annotation: expected 'aggre', 'random1'"),
    "not human": ({"kind": "symmetric", "annotation": "worse"}, "annotation: belongs to kind human"),
    "file": (
        {"kind": "symmetric", "file": "a.pt"},
        "file: belongs to kind human and to no other, found kind symmetric",
    ),
    "human digits": (
        {"kind": "human", "annotation": "worse"},
        "annotation: worse is of cifar10, not of data set kind dig",
    ),
    "path": (
        {"kind": "matrix", "matrix_file": "a\n.csv", "matrix_sha256": SHA},
        r"matrix_file: 'a\n.csv' is not allowed",
    ),
    "asymmetric digits": ({"kind": "asymmetric", "rate": 0.2}, "kind: asymmetric labels are those of CIFAR's classes"),
    "two matrices": (
        {"kind": "matrix", "matrix": EYE, "matrix_file": "a.csv", "matrix_sha256": SHA},
        "matrix: belongs to kind matrix and to no other, here or as matrix_file; gives both",
    ),
    "file of another kind": ({"kind": "none", "matrix_file": "a.csv"}, "matrix: belongs to kind matrix"),
    "unpinned": ({"kind": "matrix", "matrix_file": "a.csv"}, "matrix_sha256: expected the file's sha256, 64"),
    "half a hash": (
        {"kind": "matrix", "matrix_file": "a.csv", "matrix_sha256": "abc"},
        "matrix_sha256: expected the file's sha256",
    ),
    "format": (
        {"kind": "matrix", "matrix_file": "a.pkl", "matrix_sha256": SHA},
        "matrix_file: expected a name that ends in .csv or .npy, found 'a.pkl'",
    ),
    "hash of nothing": ({"kind": "none", "matrix_sha256": SHA}, "matrix_sha256: belongs to matrix_file"),
    "legacy kind": ({"kind": "pairflip", "rate": 0.2, "legacy": "ddlnl"}, "legacy: ddlnl knows symmetric and asym"),
    "legacy seed": ({"kind": "symmetric", "legacy": "ddlnl", "seed": 1}, "legacy: ddlnl is one fixed draw"),
    "legacy draw": ({"kind": "symmetric", "legacy": "ddlnl", "draw": "exact"}, "legacy: ddlnl is one fixed draw"),
}


@pytest.mark.parametrize("case", WRONG)
def test_noise_without_sense_is_refused(tmp_path: Path, case: str) -> None:
    noise, message = WRONG[case]
    study = tiny_study()
    study["cells"][CELL]["noise"] = noise
    line = refusal(write_study(tmp_path, study))
    assert f"cells.{CELL}.noise.{message}" in line


@pytest.mark.parametrize(
    "noise",
    [
        {"kind": "none"},
        {"kind": "pairflip", "rate": 0.45, "draw": "exact", "seed": 3},
        {"kind": "matrix", "matrix": EYE},
        {"kind": "matrix", "matrix_file": "a.csv", "matrix_sha256": SHA},
        {"kind": "symmetric", "rate": 0.8, "legacy": "ddlnl"},
    ],
)
def test_noise_with_sense_is_taken(tmp_path: Path, noise: dict[str, Any]) -> None:
    study = tiny_study()
    study["cells"][CELL]["noise"] = noise
    assert load_study(write_study(tmp_path, study)).cells[CELL].noise.kind == noise["kind"]


@pytest.mark.parametrize(
    ("dataset", "noise", "message"),
    [
        ("cifar10", {"kind": "human", "annotation": "worse"}, None),
        ("cifar10", {"kind": "human", "annotation": "noisy"}, "annotation: noisy is of cifar100, not of data set kind"),
        ("cifar10", {"kind": "human", "annotation": "worse", "file": " "}, "file: ' ' is not allowed"),
        ("cifar100", {"kind": "human", "annotation": "aggre"}, "annotation: aggre is of cifar10, not of data set kind"),
        ("cifar100", {"kind": "human", "annotation": "noisy", "file": "CIFAR-100_human.pt"}, None),
        ("cifar100", {"kind": "asymmetric", "rate": 0.4, "legacy": "ddlnl"}, None),
    ],
)
def test_human_labels_belong_to_their_images(
    tmp_path: Path, dataset: str, noise: dict[str, Any], message: str | None
) -> None:
    study = tiny_study()
    study["datasets"] = {"digits": {"kind": dataset}}
    study["cells"][CELL]["noise"] = noise
    folder = write_study(tmp_path, study)
    if message is None:
        assert load_study(folder).datasets["digits"].kind == dataset
    else:
        assert f"cells.{CELL}.noise.{message}" in refusal(folder)
