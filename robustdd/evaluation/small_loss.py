"""Small loss: a label that the trained networks find unlikely is taken for a wrong one."""

from __future__ import annotations

import torch
from torch import Tensor


def small_loss(log_probability: Tensor) -> Tensor:
    """Trust in every label, float64 [n] in 0..1: the smaller the mean loss over the networks, the higher.

    `log_probability` [P, n] is that of the observed label under P networks; the trust is their geometric mean, which
    ranks as the mean cross-entropy does. Source: the small-loss trick, Han et al., "Co-teaching", NeurIPS 2018.
    """
    return torch.exp(log_probability.double().mean(0))
