"""What all teachers together say of a sample, and the subset that can be relied on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from robustdd.errors import UserError
from robustdd.params import Subset
from robustdd.rng import seed_of


def mean_confidence(weights: Tensor) -> Tensor:
    """Mean over the teachers of their final weights: [n] of [P, n], Eq. 9.

    Reading: the "final-stage" weight of a teacher is that of its last epoch, as Eq. 7 gives it, not normalised.
    """
    return weights.mean(0)


def confidence_variance(weights: Tensor) -> Tensor:
    """Population variance over the teachers of their final weights: [n] of [P, n], Eq. 11.

    Reading: the paper says nothing of a single teacher; its variance is 0 everywhere and ranks nothing, so that the
    static weight decides alone. Between teachers it comes mostly from the spread of their blend maxima.
    """
    # From the first teacher on, so that teachers who agree exactly have a variance of exactly 0, whatever rounds.
    shifted = weights - weights[:1]
    return (shifted - shifted.mean(0)).square().mean(0)


def reliable_subset(static: Tensor, variance: Tensor, ids: Sequence[str], params: Subset) -> Tensor:
    """Mask bool [n] of the samples with a high static weight [n] and a low variance [n] of the teachers' weights.

    `rank`: the floor(ratio * n) samples with the smallest max(rank of static weight from above, rank of variance from
    below). Equal values share the lowest rank; ties go by the other rank, then by a hash of `tie_seed` and the id,
    never by position: the subset of a smaller ratio lies inside, and the order of the samples does not matter.
    `threshold`: static weight >= `min_static_weight` and variance <= `max_variance`.
    Raises UserError for an empty subset, for values that are not finite and for unequal lengths.

    Reading: Sec. 4.3 never gives its two thresholds and its ablation speaks of a subset ratio; `rank` is one common
    quantile of both criteria, chosen so that the intersection has that size.
    """
    if static.shape != (len(ids),) or variance.shape != (len(ids),):
        raise UserError(
            f"subset: expected {len(ids)} values an id, got {list(static.shape)} and {list(variance.shape)}"
        )
    if not bool((static.isfinite() & variance.isfinite()).all()):
        raise UserError("subset: expected finite static weights and variances")
    if params.rule == "threshold":
        chosen = (static >= params.min_static_weight) & (variance <= params.max_variance)
        if not bool(chosen.any()):
            raise UserError(
                f"subset: no sample has a static weight >= {params.min_static_weight} and a variance <= "
                f"{params.max_variance}; lower min_static_weight or raise max_variance"
            )
        return chosen.cpu()
    return _smallest_ranks(static.cpu(), variance.cpu(), ids, params)


def _smallest_ranks(static: Tensor, variance: Tensor, ids: Sequence[str], params: Subset) -> Tensor:
    # 0.29 * 100 is 28.999999999999996: the share is meant as it is written.
    size = math.floor(params.ratio * len(ids) + 1e-9)
    if not size:
        raise UserError(f"subset: ratio {params.ratio} of {len(ids)} samples is none; raise the ratio")
    ranks = torch.stack([_lowest_ranks(-static), _lowest_ranks(variance)])
    worse, better = ranks.amax(0).tolist(), ranks.amin(0).tolist()
    lots = [seed_of("subset", params.tie_seed, sample) for sample in ids]
    order = sorted(range(len(ids)), key=lambda row: (worse[row], better[row], lots[row]))
    chosen = torch.zeros(len(ids), dtype=torch.bool)
    chosen[order[:size]] = True
    return chosen


def _lowest_ranks(values: Tensor) -> Tensor:
    """How many values are smaller, int64 [n]: equal ones share the lowest rank."""
    return torch.searchsorted(values.sort().values, values)
