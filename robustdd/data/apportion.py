"""Whole counts that come as near as possible to given shares."""

from __future__ import annotations

import torch
from torch import Tensor


def apportion(total: int, shares: Tensor, generator: torch.Generator) -> Tensor:
    """Split `total` into whole counts, int64 [m], that are proportional to `shares` [m], by largest remainder.

    The counts sum to `total` exactly and each lies within 1 of total * share / sum of shares. Equal remainders are
    served in an order drawn from `generator`: by position, the first classes would win every tie.
    """
    quotas = total * (shares.double() / shares.double().sum())
    counts = quotas.floor()
    # Rounded, so that the last bit of a product decides no tie.
    remainders = (quotas - counts).round(decimals=9)
    order = torch.randperm(len(shares), generator=generator)
    served = order[remainders[order].argsort(descending=True, stable=True)]
    counts[served[: total - int(counts.sum())]] += 1
    return counts.long()
