"""A study on people's own images, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.cache.cache import Outcome
from tests.support.studies import CELL, PLAIN, tiny_study

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
