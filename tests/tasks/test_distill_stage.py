"""The stage `distill` where every iteration is over the threshold: it says so, and its files are whole."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.pipeline import run
from tests.support.studies import CELL, tiny_study, write_study

ROW = f"{CELL}-datm-ipc1-s0"


def test_a_distillation_that_learnt_nothing_says_so_and_is_written(
    study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    params = tiny_study()
    params["recipes"]["tiny"]["threshold"] = 1e-6
    write_study(study, params)
    with caplog.at_level(logging.WARNING, "robustdd.run"):
        (outcome,) = run(study, "distill", ROW)
    assert not outcome.cached
    (said,) = [line for line in caplog.messages if "changed nothing" in line]
    assert "first 6 iterations had a loss above 1e-06" in said and "lower initial_rate" in said
    folder = study / "data" / "distill" / ROW
    saved = load_file(folder / "saved.safetensors")
    assert torch.equal(saved["000006/images"], saved["000000/images"])
    assert torch.equal(saved["000006/images"], load_file(folder / "distilled.safetensors")["images"])


def test_one_that_learns_says_nothing(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    params = tiny_study()
    params["recipes"]["tiny"]["image_step"] = 11.0
    write_study(study, params)
    with caplog.at_level(logging.WARNING, "robustdd.run"):
        run(study, "distill", ROW)
    assert not [line for line in caplog.messages if "changed nothing" in line]
