"""How well the weights of a view find the wrong labels, and which labels they trust least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from robustdd.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from robustdd.evaluation.label_errors import Detection

WEIGHTS = {"static": "static (Eq. 6)", "dynamic": "dynamic, last teacher (Eq. 4)", "mean": "mean over teachers (Eq. 9)"}
"""Columns of a reliability frame that are weights, and their names for people."""
RANKINGS = {
    "static": WEIGHTS["static"],
    "dynamic": WEIGHTS["dynamic"],
    "dynamic_mean": "dynamic, mean over teachers",
    "mean": WEIGHTS["mean"],
    "small_loss": "small loss (peer)",
    "confident": "confident learning (peer)",
}
"""All columns by which labels can be ranked: the weights, and the peers on the same teachers where a frame has them."""


@dataclass(frozen=True)
class ViewQuality:
    """Detection scores by ranking (none without clean labels), and what the reliable subset is made of.

    `by_class`: the scores within each observed class, by ranking and class. `balance` and `subset_balance`: size of the
    smallest observed class over that of the largest, in the whole set and in the subset; None where the frame has no
    `observed_class`.
    """

    view: str
    images: int
    subset_images: int
    scores: dict[str, Detection]
    clean_share: float | None
    subset_clean_share: float | None
    by_class: Mapping[str, Mapping[str, Detection]] = field(default_factory=dict)
    balance: float | None = None
    subset_balance: float | None = None


@dataclass(frozen=True)
class SuspectLabel:
    """A label that the weights trust little: its rank (1: least), its weights, and whether it is wrong, if known."""

    rank: int
    id: str
    mean: float
    static: float
    variance: float
    verdict: str | None


def check_frame(view: str, frame: pd.DataFrame) -> None:
    """Raise UserError when a reliability frame lacks a column or has no row."""
    expected = ("id", *WEIGHTS, "variance", "in_subset")
    missing = [name for name in expected if name not in frame.columns]
    if missing or frame.empty:
        fault = f"column {missing[0]!r} is missing" if missing else "it has no row"
        raise UserError(f"reliability of {view}: {fault}, expected one row an image with {', '.join(expected)}")


def view_quality(view: str, frame: pd.DataFrame) -> ViewQuality:
    """Score the rankings of `frame` against its `is_clean`, where it has one. UserError as `check_frame`."""
    import torch

    from robustdd.evaluation.label_errors import detection_scores

    check_frame(view, frame)
    kept = frame["in_subset"].to_numpy(dtype=bool)
    size, balance = (view, len(frame), int(kept.sum())), _balance(frame)
    if "is_clean" not in frame.columns:
        return ViewQuality(*size, {}, None, None, {}, *balance)
    clean = frame["is_clean"].to_numpy(dtype=bool)
    purity = float(clean[kept].mean()) if kept.any() else None
    truth, rankings = torch.tensor(clean), _rankings(frame)
    scores = {title: detection_scores(weight, truth) for title, weight in rankings.items()}
    return ViewQuality(*size, scores, float(clean.mean()), purity, _by_class(frame, rankings, truth), *balance)


def _rankings(frame: pd.DataFrame) -> dict[str, Tensor]:
    import torch

    present = {title: frame[name] for name, title in RANKINGS.items() if name in frame.columns}
    return {title: torch.tensor(column.to_numpy(dtype=float)) for title, column in present.items()}


def _balance(frame: pd.DataFrame) -> tuple[float | None, float | None]:
    """Size of the smallest observed class over that of the largest: of the whole frame, and of the subset."""
    if "observed_class" not in frame.columns:
        return None, None
    classes = frame["observed_class"].astype("category")
    whole, subset = (part.value_counts() for part in (classes, classes[frame["in_subset"].to_numpy(dtype=bool)]))
    return float(whole.min() / whole.max()), float(subset.min() / max(1, subset.max()))


def _by_class(frame: pd.DataFrame, rankings: Mapping[str, Tensor], truth: Tensor) -> dict[str, dict[str, Detection]]:
    """Scores by ranking and observed class, in the order of the classes; empty where these are not told."""
    import torch

    from robustdd.evaluation.label_errors import detection_by_class

    if "observed_class" not in frame.columns:
        return {}
    classes = frame["observed_class"].astype("category").cat
    names, observed = [str(name) for name in classes.categories], torch.tensor(classes.codes.to_numpy(dtype="int64"))
    return {
        title: dict(zip(names, detection_by_class(weight, truth, observed, len(names)), strict=True))
        for title, weight in rankings.items()
    }


def suspect_labels(view: str, frame: pd.DataFrame, count: int | None = None) -> list[SuspectLabel]:
    """The `count` labels (None: all) of lowest mean weight, then static weight, then id. UserError as `check_frame`."""
    check_frame(view, frame)
    ordered = frame.sort_values(["mean", "static", "id"], kind="stable").head(len(frame) if count is None else count)
    verdicts = (
        [None] * len(ordered)
        if "is_clean" not in ordered
        else ["" if clean else "yes" for clean in ordered["is_clean"]]
    )
    columns = (ordered["id"], ordered["mean"], ordered["static"], ordered["variance"], verdicts)
    return [
        SuspectLabel(rank, str(ident), float(mean), float(static), float(variance), verdict)
        for rank, (ident, mean, static, variance, verdict) in enumerate(zip(*columns, strict=True), start=1)
    ]
