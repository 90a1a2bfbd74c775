"""The figures of a report, each a pure function from numbers to PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from robustdd.reporting.grouping import method_order
from robustdd.reporting.style import LIGHT, Theme, panels, png, quiet, style
from robustdd.reporting.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def accuracy_by_row(lines: Sequence[Line], theme: Theme = LIGHT) -> bytes:
    """Test accuracy of every setting with its sd, one panel a cell; a small dot is one distillation seed."""
    cells = [(cell, list(group)) for cell, group in groupby(lines, key=lambda line: line.cell)]
    heights = [len(group) + 0.6 for _, group in cells]
    with style(theme):
        figure, axes = panels(
            7.2, 0.34 * sum(heights) + 0.5 * len(cells) + 0.3, rows=len(cells), height_ratios=heights, sharex=True
        )
        for panel, (cell, group) in zip(axes, cells, strict=True):
            _dots(panel, group, theme)
            panel.set_title(cell)
        axes[-1].set_xlabel("test accuracy, % (bar: ± 1 sd)")
        return png(figure)


def accuracy_by_ipc(lines: Sequence[Line], theme: Theme = LIGHT) -> bytes:
    """Test accuracy over images a class, one line a method and one panel a cell, as in the paper's second figure."""
    cells = [(cell, list(group)) for cell, group in groupby(lines, key=lambda line: line.cell)]
    across = min(2, len(cells))
    down = -(-len(cells) // across)
    with style(theme):
        figure, axes = panels(7.2, 3.0 * down, down, across)
        for panel, (cell, group) in zip(axes, cells, strict=False):
            _methods_over_ipc(panel, group, theme)
            panel.set_title(cell)
        for spare in axes[len(cells) :]:
            spare.set_visible(False)
        keys = {label: line for panel in axes for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        names = sorted(keys, key=method_order)
        figure.legend([keys[name] for name in names], names, loc="outside right center", fontsize=8)
        return png(figure)


def _dots(axes: Axes, lines: Sequence[Line], theme: Theme) -> None:
    for height, line in enumerate(reversed(lines)):
        mean, colour = 100 * line.summary.mean, theme.method(line.method)
        axes.errorbar(
            mean, height, xerr=100 * (line.summary.sd or 0), fmt="none", color=colour, elinewidth=2, capsize=0
        )
        axes.plot(
            [100 * value for value in line.seed_means],
            [height] * len(line.seed_means),
            ".",
            color=colour,
            alpha=0.5,
            markersize=5,
        )
        axes.plot(mean, height, "o", color=colour, markersize=7)
        axes.annotate(f"{mean:.1f}", (mean, height), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes.set_yticks(range(len(lines)), [line.short_label for line in reversed(lines)])
    axes.set_ylim(-0.6, len(lines) - 0.2)
    quiet(axes)


def _methods_over_ipc(axes: Axes, lines: Sequence[Line], theme: Theme) -> None:
    for full in (line for line in lines if line.ipc is None):
        axes.axhline(100 * full.summary.mean, color=theme.method("full"), linestyle="--", linewidth=1.2, label="full")
    sized = [(line.ipc, line) for line in lines if line.ipc is not None]
    for method in sorted({line.method for _, line in sized}, key=method_order):
        own = [
            (ipc, 100 * line.summary.mean, 100 * (line.summary.sd or 0)) for ipc, line in sized if line.method == method
        ]
        ipc, mean, bars = zip(*own, strict=True)
        axes.errorbar(
            ipc, mean, yerr=bars, fmt="o-", color=theme.method(method), linewidth=1.5, markersize=4, label=method
        )
    ticks = sorted({ipc for ipc, _ in sized})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("images a class")
    axes.set_ylabel("test accuracy, %")
    quiet(axes, "y")
