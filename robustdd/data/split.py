"""Which training images a study trains on, which it sets apart for tuning, and which it leaves alone.

Drawn by position, before anything looks at an image or a label.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustdd.data.sizes import held_and_used
from robustdd.params import Dataset
from robustdd.rng import generator


def draw_holdout(count: int, share: float, seed: int) -> Tensor:
    """Mask bool [count] of the round(share * count) training images set apart, drawn without looking at any label.

    It belongs to the dataset, not to a noise, so that the whitening never sees a held-out image either.
    """
    return _first(count, round(share * count), 0, seed)


def draw_used(count: int, params: Dataset) -> Tensor:
    """Mask bool [count] of the training images that are trained on: never of the hold-out, `train_share` of all.

    The same images whatever the noise; a smaller share is part of a larger one.
    """
    held, used = held_and_used(params, count)
    return _first(count, used, held, params.split_seed)


def _first(count: int, number: int, skipped: int, seed: int) -> Tensor:
    mask = torch.zeros(count, dtype=torch.bool)
    mask[torch.randperm(count, generator=generator("holdout", seed))[skipped : skipped + number]] = True
    return mask
