"""How many images of a data set are held out and trained on: numbers alone, for whoever has not read it yet."""

from __future__ import annotations

from robustdd.params import Dataset


def held_and_used(dataset: Dataset, count: int) -> tuple[int, int]:
    """How many of `count` training images are held out, and how many are trained on."""
    held = round(dataset.holdout * count)
    return held, count - held if dataset.train_share is None else round(dataset.train_share * count)
