"""The page that shows a run while it runs: Markdown with its pictures inside, for a browser that fetches nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from robustdd.reporting.style import LIGHT, panels, png, quiet, style

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class LivePage:
    """What is to be seen of a run: one line on where it is, its curves and its newest picture.

    `losses` and `accuracies` (0 to 1, on the noisy hold-out) are by step; `measured` tells how the accuracy was got, or
    why there is none. `picture` is a PNG with its own caption.
    """

    where: str
    step_name: str
    losses: Points
    accuracies: Points
    measured: str
    picture: bytes | None = None
    caption: str = ""


def markdown(page: LivePage) -> str:
    """The page as Markdown, its pictures as data URIs."""
    parts = [page.where]
    if page.accuracies:
        step, accuracy = page.accuracies[-1]
        parts.append(f"**Accuracy on the noisy hold-out: {100 * accuracy:.1f} %** after {page.step_name} {step}")
    parts.append(page.measured)
    if page.losses:
        parts.append(_image("curves", curves(page.losses, page.accuracies, page.step_name)))
    if page.picture is not None:
        parts += [f"### {page.caption}", _image(page.caption, page.picture)]
    return "\n\n".join(part for part in parts if part) + "\n"


def curves(losses: Points, accuracies: Points, step_name: str) -> bytes:
    """PNG of the loss over the steps and, beside it, of the hold-out accuracy where it was measured."""
    drawn = [("loss", [(step, loss) for step, loss in losses], LIGHT.method("datm"))]
    if accuracies:
        percent = [(step, 100 * accuracy) for step, accuracy in accuracies]
        drawn.append(("accuracy on the noisy hold-out, %", percent, LIGHT.method("ours")))
    with style(LIGHT):
        figure, axes = panels(3.6 * len(drawn), 2.2, columns=len(drawn))
        for panel, (title, points, colour) in zip(axes, drawn, strict=True):
            steps, values = zip(*points, strict=True)
            panel.plot(steps, values, color=colour, linewidth=1.3, marker="o" if len(points) < 20 else "", markersize=3)
            panel.set_title(title)
            panel.set_xlabel(step_name)
            panel.locator_params(axis="x", integer=True, nbins=5)
            quiet(panel, "y")
        return png(figure)


def _image(text: str, data: bytes) -> str:
    return f"![{text}](data:image/png;base64,{base64.b64encode(data).decode()})"
