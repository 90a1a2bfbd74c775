"""Second-split forgetting, sample by sample and epoch by epoch, after Maini et al. and Eq. 5 and 6."""

from __future__ import annotations

from collections.abc import Sequence


def learned_forever(correct: Sequence[bool]) -> int:
    """Earliest epoch from which on the sample is right; one more than the epochs when it ends wrong."""
    for start in range(len(correct)):
        if all(correct[start:]):
            return start + 1
    return len(correct) + 1


def forgotten_forever(correct: Sequence[bool]) -> int:
    """Earliest epoch from which on the sample is wrong; one more than the epochs when it ends right."""
    for start in range(len(correct)):
        if not any(correct[start:]):
            return start + 1
    return len(correct) + 1


def first(correct: Sequence[bool], wanted: bool) -> int:
    """Earliest epoch at which the sample is as wanted; one more than the epochs when it never is."""
    for epoch, value in enumerate(correct):
        if value == wanted:
            return epoch + 1
    return len(correct) + 1


def scores(learned: Sequence[float], forgotten: Sequence[float], learn_share: float) -> list[float]:
    """s = lambda t_learn / max t_learn + (1 - lambda) (1 - t_forget / max t_forget)."""
    latest_learned, latest_forgotten = max(learned), max(forgotten)
    return [
        learn_share * learn / latest_learned + (1 - learn_share) * (1 - forget / latest_forgotten)
        for learn, forget in zip(learned, forgotten, strict=True)
    ]
