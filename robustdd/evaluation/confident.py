"""Confident learning: a label is doubted when the networks are less sure of it than of its class on the whole."""

from __future__ import annotations

import torch
from torch import Tensor

from robustdd.errors import UserError


def confident_margin(confidence: Tensor, observed: Tensor) -> Tensor:
    """Confidence in every label above the mean confidence in the labels of its class, float64 [n] in -1..1.

    `confidence` [n] is the probability of the observed label, mean over the networks; `observed` int64 [n]. The mean of
    a class is the threshold of the confident joint. It ranks as cleanlab's label quality by self-confidence does with
    `adjust_pred_probs`; cleanlab asks for probabilities of networks that have not seen the sample, and these have.
    Raises UserError for unequal lengths. Source: Northcutt et al., "Confident Learning", JAIR 2021.
    """
    if confidence.shape != observed.shape or confidence.dim() != 1:
        given = f"{list(confidence.shape)} and {list(observed.shape)}"
        raise UserError(f"confident learning: expected [n] and [n], got {given}")
    sums = torch.zeros(int(observed.max()) + 1 if len(observed) else 0, dtype=torch.float64, device=confidence.device)
    sums = sums.index_add(0, observed, confidence.double())
    threshold = sums / observed.bincount().clamp(min=1)
    return confidence.double() - threshold[observed]
