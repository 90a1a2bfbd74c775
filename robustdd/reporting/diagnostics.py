"""Figures of what happened on the way: matching curves, weights on right and wrong labels, the noise itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from robustdd.reporting.grouping import method_order
from robustdd.reporting.label_quality import WEIGHTS, check_frame
from robustdd.reporting.records import CellNoise, Curve
from robustdd.reporting.style import LIGHT, Theme, panels, png, quiet, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ANNOTATED_CLASSES = 12
"""A transition matrix of at most so many classes carries its numbers and the names of its classes."""
LINES = ("-", "--", ":", "-.")
"""Settings of one method share its colour and differ in these."""


@dataclass(frozen=True)
class NamedCurve:
    """A curve, the setting that it is one seed of, and that setting's method, which gives the colour."""

    setting: str
    method: str
    curve: Curve


def loss_curves(named: Sequence[NamedCurve], theme: Theme = LIGHT) -> bytes:
    """Matching loss and learned rate over the iterations; the bold line is the running median of one distillation."""
    settings = sorted({(method_order(one.method), one.method, one.setting) for one in named})
    with style(theme):
        figure, (above, below) = panels(7.2, 4.2 + 0.17 * len(settings), rows=2, sharex=True, height_ratios=[2, 1])
        for _, method, setting in settings:
            curves = [one.curve for one in named if (one.method, one.setting) == (method, setting)]
            siblings = [other for _, theirs, other in settings if theirs == method]
            look = {"color": theme.method(method), "linestyle": LINES[siblings.index(setting) % len(LINES)]}
            for at, curve in enumerate(curves):
                _one_curve(above, below, curve, look, _curve_label(setting, curves) if at == 0 else None)
        above.set_ylim(bottom=0)
        above.set_ylabel("matching loss")
        below.set_ylabel("learned rate")
        below.set_xlabel("iteration")
        for panel in (above, below):
            quiet(panel, "y")
        figure.legend(loc="outside upper left", fontsize=8)
        return png(figure)


def weight_histograms(view: str, frame: pd.DataFrame, theme: Theme = LIGHT) -> bytes:
    """Static, dynamic and mean weight on right and wrong labels, as shares of each group. UserError for a bad frame."""
    check_frame(view, frame)
    clean = frame["is_clean"].to_numpy(dtype=bool) if "is_clean" in frame.columns else None
    groups = [("all labels", theme.ink, np.ones(len(frame), dtype=bool))]
    if clean is not None:
        groups = [("right labels", theme.right, clean), ("wrong labels", theme.wrong, ~clean)]
    with style(theme):
        figure, axes = panels(7.2, 2.8, columns=len(WEIGHTS), sharex=True, sharey=True)
        for panel, (name, title) in zip(axes, WEIGHTS.items(), strict=True):
            for label, colour, chosen in groups:
                values = frame[name].to_numpy(dtype=float)[chosen]
                shares = np.full(len(values), 100 / max(1, len(values)))
                panel.hist(
                    values, bins=np.linspace(0, 1, 26).tolist(), weights=shares, color=colour, alpha=0.65, label=label
                )
            panel.set_title(title, fontsize=9)
            panel.set_xlabel("weight")
            panel.set_xticks([0, 0.5, 1])
            quiet(panel, "y")
        axes[0].set_ylabel("% of the group")
        bars, names = axes[0].get_legend_handles_labels()
        figure.legend(bars, names, loc="outside upper left", ncols=len(groups), fontsize=8)
        return png(figure)


def transition_figure(noise: CellNoise, theme: Theme = LIGHT) -> bytes:
    """The transition matrix, rows clean and columns observed, with its numbers where the classes are few."""
    from matplotlib.colors import LinearSegmentedColormap

    matrix = noise.matrix.double().numpy()
    few = len(matrix) <= ANNOTATED_CLASSES
    with style(theme):
        figure, (axes,) = panels(4.6, 4.2)
        axes.imshow(matrix, cmap=LinearSegmentedColormap.from_list("ramp", theme.ramp), vmin=0, vmax=1)
        axes.set_xlabel("observed label")
        axes.set_ylabel("clean label")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if few:
            axes.set_xticks(
                range(len(matrix)), noise.class_names, rotation=45 if max(map(len, noise.class_names)) > 3 else 0
            )
            axes.set_yticks(range(len(matrix)), noise.class_names)
            for (row, column), share in np.ndenumerate(matrix):
                colour = theme.ink if share < 0.75 else theme.ramp[0]
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour)
        return png(figure)


def running_median(values: np.ndarray, share: float = 0.05) -> np.ndarray:
    """Median of a window around every value, `share` of the curve wide and cut at its ends; as long as `values`."""
    reach = max(1, int(len(values) * share / 2))
    return np.array([np.median(values[max(0, at - reach) : at + reach + 1]) for at in range(len(values))])


def _curve_label(setting: str, curves: Sequence[Curve]) -> str:
    skipped, iterations = sum(curve.skipped for curve in curves), sum(curve.iterations for curve in curves)
    return f"{setting} ({skipped} of {iterations} skipped)" if skipped else setting


def _one_curve(above: Axes, below: Axes, curve: Curve, look: Mapping[str, Any], label: str | None) -> None:
    steps = np.arange(1, len(curve.losses) + 1)
    above.plot(steps, curve.losses, color=look["color"], linewidth=0.6, alpha=0.3)
    above.plot(steps, running_median(np.asarray(curve.losses)), linewidth=1.6, label=label, **look)
    below.plot(steps, curve.rates, linewidth=1.2, **look)
