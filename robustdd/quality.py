"""How well the weights of a view find the wrong labels, and which labels they trust least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustdd.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from robustdd.detection import Detection

WEIGHTS = {"static": "static (Eq. 6)", "dynamic": "dynamic, last teacher (Eq. 4)", "mean": "mean over teachers (Eq. 9)"}
"""Columns of a reliability frame that are weights, and their names for people."""


@dataclass(frozen=True)
class ViewQuality:
    """Detection scores by weight (none without clean labels), and size and purity of the reliable subset."""

    view: str
    images: int
    subset_images: int
    scores: dict[str, Detection]
    clean_share: float | None
    subset_clean_share: float | None


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
    """Score the weights of `frame` against its `is_clean`, where it has one. UserError as `check_frame`."""
    import torch

    from robustdd.detection import detection_scores

    check_frame(view, frame)
    kept = frame["in_subset"].to_numpy(dtype=bool)
    size = (view, len(frame), int(kept.sum()))
    if "is_clean" not in frame.columns:
        return ViewQuality(*size, {}, None, None)
    clean = frame["is_clean"].to_numpy(dtype=bool)
    purity = float(clean[kept].mean()) if kept.any() else None
    truth = torch.tensor(clean)
    scores = {
        title: detection_scores(torch.tensor(frame[name].to_numpy(dtype=float)), truth)
        for name, title in WEIGHTS.items()
    }
    return ViewQuality(*size, scores, float(clean.mean()), purity)


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
