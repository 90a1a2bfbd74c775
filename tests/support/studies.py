"""A tiny study on the digits, for every test that needs a params.yaml: seconds for all of its stages."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from robustdd.errors import UserError
from robustdd.study.load import load_study

CELL, PLAIN, SGR = "digits-sym40", "digits-sym40-plain", "digits-sym40-sgr"


def tiny_study() -> dict[str, Any]:
    """A fresh, valid params.yaml as a dict: 500 training images, two views, six rows; change it as the test needs."""
    return {
        "name": "tiny",
        "root": "../..",
        "device": "cpu",
        "threads": 1,
        "datasets": {"digits": {"kind": "digits", "test_images": 1297, "whitening": "zca", "zca_epsilon": 0.1}},
        "cells": {CELL: {"dataset": "digits", "noise": {"kind": "symmetric", "rate": 0.4}}},
        "views": {
            PLAIN: {"cell": CELL, "weights": "plain", "weights_from": "labels"},
            SGR: {"cell": CELL, "weights": "sgr", "weights_from": "forgetting"},
        },
        "rows": {
            f"{CELL}-random-ipc1-s0": _row(PLAIN, "random"),
            f"{PLAIN}-selected-ipc1-s0": _row(PLAIN, "selected"),
            f"{SGR}-selected-ipc1-s0": _row(SGR, "selected"),
            f"{CELL}-datm-ipc1-s0": _row(PLAIN, "datm"),
            f"{CELL}-sgr-ipc1-s0": _row(SGR, "sgr"),
            f"{CELL}-ours-ipc1-s0": _row(SGR, "ours", targets="finetune"),
        },
        "grid": {"forgetting": [CELL], "reliability": [SGR], "finetune": [SGR], "full": [CELL]},
        "network": {"width": 8, "depth": 2},
        "engine": {},
        "forgetting": {"epochs": 3, "batch_size": 64, "seeds": [0], "network": {"width": 8, "depth": 2}},
        "teachers": {
            "num_teachers": 2,
            "epochs": 4,
            "batch_size": 64,
            "learning_rate": 0.05,
            "augment": "color_crop_cutout_scale_rotate",
        },
        "neighbours": {"k": 5, "backend": "faiss"},
        "subset": {"ratio": 0.6},
        "finetune": {"first_start": 0, "last_start": 2, "epochs": 1},
        "recipes": {"tiny": _recipe()},
        "train_full": {"epochs": 3, "batch_size": 64, "decay_epochs": [1, 2], "seeds": [0, 1]},
        "evaluate": {"epochs": 4, "batch_size": 64, "decay_epoch": 2, "seeds": [0, 1]},
    }


def write_study(folder: Path, study: dict[str, Any] | None = None) -> Path:
    """Write `study` (the tiny one when None) as folder/params.yaml; returns the folder."""
    text = io.StringIO()
    YAML(typ="safe").dump(study or tiny_study(), text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(text.getvalue(), encoding="utf-8")
    return folder


def refusal(folder: Path) -> str:
    """The one line with which the study of `folder` is refused, within a second of this processor."""
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        load_study(folder)
    assert time.process_time() - started < 1
    line = str(caught.value)
    assert line.isprintable() and len(line) <= 450 and line.startswith(str(folder / "params.yaml"))
    return line


def _row(view: str, method: str, targets: str = "teachers") -> dict[str, Any]:
    return {"view": view, "method": method, "ipc": 1, "recipe": "tiny", "seed": 0, "targets": targets}


def _recipe() -> dict[str, Any]:
    return {
        "iterations": 6,
        "inner_steps": 4,
        "teacher_epochs": 1,
        "batch_size": 5,
        "image_step": 10.0,
        "threshold": 10.0,
        "min_start": 0,
        "first_max_start": 2,
        "max_start": 3,
        "expansion_iterations": 3,
        "augment": "color_crop_cutout_scale_rotate",
        "save_every": 3,
        "checkpoint_every": 2,
    }
