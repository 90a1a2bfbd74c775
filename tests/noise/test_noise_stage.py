"""The stage `labels`: what it publishes of a noise, and files of the study that it reads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from robustdd.errors import UserError
from robustdd.noise.api import corrupt, transition_matrix
from robustdd.params import Noise
from robustdd.rng import generator
from tests.support.pipeline import names, run
from tests.support.studies import CELL, tiny_study, write_study

torch.set_num_threads(1)


def with_noise(folder: Path, noise: dict[str, Any]) -> Path:
    study = tiny_study()
    study["cells"][CELL]["noise"] = noise
    return write_study(folder, study)


def labels_of(folder: Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    place = folder / "data" / "labels" / CELL
    notes = json.loads((place / "labels.manifest.json").read_bytes())["notes"]
    return notes, pq.read_table(place / "labels.parquet").to_pydict()


@pytest.fixture(scope="module")
def with_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("labels"))
    run(folder, "images", "digits")
    return folder


def test_the_manifest_tells_matrix_rate_and_hash(with_images: Path) -> None:
    run(with_noise(with_images, {"kind": "pairflip", "rate": 0.3, "seed": 5}), "labels", CELL)
    notes, table = labels_of(with_images)
    matrix = transition_matrix(Noise(kind="pairflip", rate=0.3), 10)
    clean, observed = torch.tensor(table["clean"]), torch.tensor(table["observed"])
    assert torch.equal(observed, corrupt(clean, matrix, "bernoulli", generator("noise", 5)))
    assert notes["transition_matrix"] == matrix.tolist()
    assert notes["realised_rate"] == int((observed != clean).sum()) / 500
    assert notes["labels_sha256"] == hashlib.sha256(observed.numpy().tobytes()).hexdigest()


def test_a_matrix_of_the_studys_folder_is_read_and_its_hash_is_in_the_key(with_images: Path) -> None:
    path = with_images / "noise.csv"
    np.savetxt(path, np.roll(np.eye(10), 1, axis=1), delimiter=",")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    noise = {"kind": "matrix", "matrix_file": "noise.csv", "matrix_sha256": sha256}
    assert names(run(with_noise(with_images, noise), "labels", CELL)) == ["labels"]
    _, table = labels_of(with_images)
    assert table["observed"] == [(label + 1) % 10 for label in table["clean"]]
    assert names(run(with_images, "labels", CELL)) == []
    np.savetxt(path, np.eye(10), delimiter=",")
    other = hashlib.sha256(path.read_bytes()).hexdigest()
    assert names(run(with_noise(with_images, {**noise, "matrix_sha256": other}), "labels", CELL)) == ["labels"]
    assert labels_of(with_images)[0]["realised_rate"] == 0.0


def test_a_matrix_that_changed_unseen_is_refused_and_the_old_labels_stay(with_images: Path) -> None:
    run(with_noise(with_images, {"kind": "symmetric", "rate": 0.4}), "labels", CELL)
    before = labels_of(with_images)
    (with_images / "other.csv").write_text("1,0\n0,1\n")
    noise = {"kind": "matrix", "matrix_file": "other.csv", "matrix_sha256": "0" * 64}
    with pytest.raises(UserError, match=r"other\.csv: its sha256 is [0-9a-f]{64}; set matrix_sha256 to it"):
        run(with_noise(with_images, noise), "labels", CELL)
    assert labels_of(with_images) == before
