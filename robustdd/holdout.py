"""The noisy hold-out: training images set apart for tuning, by id, before anything looks at them."""

from __future__ import annotations

import torch
from torch import Tensor

from robustdd.rng import generator


def draw_holdout(count: int, share: float, seed: int) -> Tensor:
    """Mask bool [count] of the round(share * count) training images set apart, drawn without looking at any label.

    It belongs to the dataset, not to a noise, so that the whitening never sees a held-out image either.
    """
    apart = torch.zeros(count, dtype=torch.bool)
    apart[torch.randperm(count, generator=generator("holdout", seed))[: round(share * count)]] = True
    return apart
