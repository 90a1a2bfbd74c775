"""How well a weight finds the wrong labels, where the clean ones are known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robustdd.errors import UserError


@dataclass(frozen=True)
class Detection:
    """Quality in 0..1 of a ranking of labels from suspicious to trusted; None where there is nothing to tell apart."""

    auroc: float | None
    average_precision: float | None
    precision_at_noise_rate: float | None
    """Share of wrong labels among as many of the most suspicious as there are wrong ones; ties count by their mean."""


def detection_scores(weight: Tensor, is_clean: Tensor) -> Detection:
    """Scores of low `weight` [n] as a sign of a wrong label, against `is_clean` bool [n].

    All None when every label is clean, or every one wrong. Raises UserError for unequal lengths or weights that are not
    finite.
    """
    if weight.shape != is_clean.shape or weight.dim() != 1:
        raise UserError(f"detection: expected [n] and [n], got {list(weight.shape)} and {list(is_clean.shape)}")
    if not bool(weight.isfinite().all()):
        raise UserError("detection: expected finite weights")
    is_wrong = ~is_clean.cpu()
    wrong = int(is_wrong.sum())
    if wrong in (0, len(is_wrong)):
        return Detection(None, None, None)
    from sklearn.metrics import average_precision_score, roc_auc_score

    weight = weight.detach().cpu().double()
    truth, suspicion = is_wrong.numpy(), (-weight).numpy()
    auroc, precision = roc_auc_score(truth, suspicion), average_precision_score(truth, suspicion)
    return Detection(float(auroc), float(precision), _precision_at(weight, is_wrong, wrong))


def _precision_at(weight: Tensor, is_wrong: Tensor, count: int) -> float:
    """Expected share of wrong labels among the `count` lowest weights, when ties are broken at random."""
    boundary = weight.sort().values[count - 1]
    below, tied = weight < boundary, weight == boundary
    places = count - int(below.sum())
    found = float(is_wrong[below].sum()) + places * float(is_wrong[tied].double().mean())
    return found / count
