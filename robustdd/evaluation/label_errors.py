"""How well a weight finds the wrong labels, where the clean ones are known, and what the reliable subset is made of."""

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


@dataclass(frozen=True)
class SubsetQuality:
    """What a subset is made of: its size, and its share of right labels (purity) beside that of the whole set.

    Purities are None where the clean labels are not known, and where there is nothing to be pure.
    `balance`: size of the smallest class over that of the largest, by observed label, 1 where all are equally large;
    `whole_balance` is that of the whole set. `class_sizes` and `class_purities`: by observed label.
    """

    size: int
    purity: float | None
    whole_purity: float | None
    balance: float
    whole_balance: float
    class_sizes: tuple[int, ...]
    class_purities: tuple[float | None, ...]


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


def detection_by_class(weight: Tensor, is_clean: Tensor, observed: Tensor, classes: int) -> tuple[Detection, ...]:
    """Scores of `weight` [n] among the samples of each observed label, for `observed` int64 [n] has the classes.

    A ranking that is good overall may only have found out which classes have more wrong labels. Raises UserError as
    `detection_scores`.
    """
    if observed.shape != weight.shape:
        raise UserError(f"detection: expected [n] and [n], got {list(weight.shape)} and {list(observed.shape)}")
    members = [observed == label for label in range(classes)]
    return tuple(detection_scores(weight[rows], is_clean[rows]) for rows in members)


def subset_quality(chosen: Tensor, is_clean: Tensor | None, observed: Tensor, classes: int) -> SubsetQuality:
    """What the samples `chosen`, bool [n], are made of.

    Of the whole set: `is_clean` bool [n], None where that is not known, and the labels `observed` int64 [n].
    """
    sizes, whole = (labels.bincount(minlength=classes) for labels in (observed[chosen], observed))
    right = None if is_clean is None else observed[chosen & is_clean].bincount(minlength=classes)
    shares = [None if right is None else _share(right[label], sizes[label]) for label in range(classes)]
    return SubsetQuality(
        size=int(sizes.sum()),
        purity=None if right is None else _share(right.sum(), sizes.sum()),
        whole_purity=None if is_clean is None else float(is_clean.double().mean()),
        balance=_balance(sizes),
        whole_balance=_balance(whole),
        class_sizes=tuple(sizes.tolist()),
        class_purities=tuple(shares),
    )


def _share(part: Tensor, whole: Tensor) -> float | None:
    return int(part) / int(whole) if whole else None


def _balance(sizes: Tensor) -> float:
    return int(sizes.min()) / max(1, int(sizes.max()))


def _precision_at(weight: Tensor, is_wrong: Tensor, count: int) -> float:
    """Expected share of wrong labels among the `count` lowest weights, when ties are broken at random."""
    boundary = weight.sort().values[count - 1]
    below, tied = weight < boundary, weight == boundary
    places = count - int(below.sum())
    found = float(is_wrong[below].sum()) + places * float(is_wrong[tied].double().mean())
    return found / count
