"""How every figure is drawn: two themes, colours for colour-blind readers too, and PNG bytes that repeat."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 160


@dataclass(frozen=True)
class Theme:
    """Colours of a figure: ink for words, a fainter one for rules, the paper (None: transparent), and one a method."""

    name: str
    ink: str
    faint: str
    paper: str | None
    methods: dict[str, str]
    right: str
    wrong: str
    ramp: tuple[str, str]
    """Colours of probability 0 and 1."""

    def method(self, name: str) -> str:
        """Colour of a method; the ink's for one that has none."""
        return self.methods.get(name, self.ink)


# Okabe & Ito 2008, lightened for the dark theme.
LIGHT = Theme(
    name="light",
    ink="#1f2328",
    faint="#d0d5db",
    paper="#ffffff",
    methods={
        "full": "#6b7280",
        "random": "#a8adb5",
        "selected": "#56b4e9",
        "dance": "#009e73",
        "rcig": "#cc79a7",
        "datm": "#0072b2",
        "sgr": "#e69f00",
        "ours": "#d55e00",
    },
    right="#0072b2",
    wrong="#d55e00",
    ramp=("#ffffff", "#0072b2"),
)
DARK = Theme(
    name="dark",
    ink="#e6e8eb",
    faint="#3d434b",
    paper=None,
    methods={
        "full": "#9aa1ab",
        "random": "#6c737d",
        "selected": "#8fd0f5",
        "dance": "#2fc79b",
        "rcig": "#e5a3c8",
        "datm": "#4ea8e0",
        "sgr": "#f2b93b",
        "ours": "#f0803c",
    },
    right="#4ea8e0",
    wrong="#f0803c",
    ramp=("#1c2026", "#4ea8e0"),
)
THEMES = (LIGHT, DARK)


@contextmanager
def style(theme: Theme) -> Iterator[None]:
    """Matplotlib's own defaults under the theme, whatever matplotlibrc the user has."""
    from matplotlib import style as styles

    ink = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme.ink)
    frame = {"axes.edgecolor": theme.faint, "grid.color": theme.faint, "grid.linewidth": 0.6, "axes.linewidth": 0.8}
    words = {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "legend.frameon": False,
    }
    paper = dict.fromkeys(("figure.facecolor", "savefig.facecolor"), theme.paper or "none") | {"axes.facecolor": "none"}
    with styles.context(["default", {**ink, **frame, **words, **paper}], after_reset=True):
        yield


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `width` by `height` inches and its axes, row by row; to be called under `style`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    return figure, list(axes.flat)


def quiet(axes: Axes, grid: str = "x") -> None:
    """Leave only what is read: no box, no tick marks, thin rules across the axis that carries the numbers."""
    for side in ("top", "right", "left" if grid == "x" else "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="x" if grid == "x" else "y")
    axes.set_axisbelow(True)


def png(figure: Figure) -> bytes:
    """PNG bytes of a figure; the same for equal figures under one version of matplotlib."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()
