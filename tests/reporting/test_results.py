from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.errors import CorruptArtifact, UserError
from robustdd.reporting.records import Curve, FullAccuracy, Pictures, Provenance, RowAccuracy

ROW = {
    "row": "digits-sym40-sgr-ours-ipc1-s0",
    "cell": "digits-sym40",
    "view": "digits-sym40-sgr",
    "method": "ours",
    "ipc": 1,
    "seed": 0,
    "recipe": "demo",
    "evaluation_seeds": [0, 1],
    "accuracy": [0.5, 1],
    "holdout_accuracy": None,
    "test_images": 397,
}
FULL = {
    "cell": "c",
    "seeds": [0],
    "last": [0.5],
    "best": [0.6],
    "best_epoch": [3],
    "test_images": 10,
}
RUN = {
    "stage": "images",
    "id": "digits",
    "commit": "abc",
    "device": "cpu",
    "threads": 1,
    "versions": {"torch": "2.13.0"},
    "seconds": 1.5,
    "started": "2026-01-01T00:00:00+00:00",
}


def written(tmp_path, value):
    path = tmp_path / "file.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_every_record_is_read_as_it_was_written(tmp_path):
    row = RowAccuracy.from_json(written(tmp_path, ROW))
    assert (row.accuracy, row.holdout_accuracy, row.test_images) == ((0.5, 1.0), None, 397)
    assert FullAccuracy.from_json(written(tmp_path, FULL)).best_epoch == (3,)
    curve = {"losses": [0.9, 0.8], "rates": [0.1, 0.1], "skipped": 0, "iterations": 2}
    assert Curve.from_json(written(tmp_path, curve)).losses == (0.9, 0.8)
    assert Provenance.from_json(written(tmp_path, RUN)).versions == {"torch": "2.13.0"}


def test_keys_of_a_later_version_are_ignored(tmp_path):
    assert RowAccuracy.from_json(written(tmp_path, {**ROW, "later": 1})).row == ROW["row"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"accuracy": [0.5, 1.5]}, "accuracy.1"),
        ({"accuracy": ["0.5", 0.5]}, "accuracy.0"),
        ({"accuracy": [0.5]}, "lengths"),
        ({"accuracy": [], "evaluation_seeds": []}, "at least one seed"),
        ({"holdout_accuracy": [0.5]}, "holdout_accuracy"),
        ({"ipc": 0}, "ipc"),
        ({"ipc": True}, "ipc"),
        ({"seed": -1}, "seed"),
        ({"test_images": 1.5}, "test_images"),
        ({"method": None}, "method"),
    ],
)
def test_a_value_that_cannot_be_is_corrupt_and_named(tmp_path, change, place):
    path = written(tmp_path, {**ROW, **change})
    with pytest.raises(CorruptArtifact, match=place) as caught:
        RowAccuracy.from_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", [key for key in ROW if key != "holdout_accuracy"])
def test_a_missing_key_is_corrupt(tmp_path, key):
    with pytest.raises(CorruptArtifact, match=key):
        RowAccuracy.from_json(written(tmp_path, {name: value for name, value in ROW.items() if name != key}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"losses": [NaN]}', "\ufeff{}", "[" * 5000])
def test_what_is_no_such_record_is_corrupt(tmp_path, text):
    with pytest.raises(CorruptArtifact):
        Curve.from_json(written(tmp_path, text))


def test_nan_and_infinity_are_corrupt(tmp_path):
    for word in ("NaN", "Infinity", "1e999"):
        text = f'{{"losses": [{word}], "rates": [0.1], "skipped": 0, "iterations": 1}}'
        with pytest.raises(CorruptArtifact, match=r"losses\.0"):
            Curve.from_json(written(tmp_path, text))


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(CorruptArtifact, match="dvc repro"):
        FullAccuracy.from_json(tmp_path / "none.json")


def test_a_curve_has_one_loss_and_one_rate_an_iteration_and_no_more_skips():
    with pytest.raises(UserError, match="one of each"):
        Curve((0.1,), (), 0, 1)
    with pytest.raises(UserError, match="no more than there are"):
        Curve((0.1,), (0.1,), 2, 1)


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (9, 1, 8, 8), (10, 8, 8)])
def test_pictures_lie_class_after_class(shape):
    with pytest.raises(UserError, match="multiple of 10"):
        Pictures(torch.zeros(10, 1, 8, 8), torch.zeros(shape), tuple("0123456789"))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=60) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_bytes_are_read_or_corrupt(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "file.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))
    with pytest.raises(CorruptArtifact):
        RowAccuracy.from_json(path)
