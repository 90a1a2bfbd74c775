"""Pictures of a distilled set: grids of its images, before and after, pixel for pixel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robustdd.data.torchvision_compat import torchvision
from robustdd.reporting.records import Pictures
from robustdd.reporting.style import DPI, LIGHT, Theme, png, style

WIDTH = 1120
"""Pixels across a picture, at most; images are enlarged by whole factors only, so that a pixel stays a square."""
MOST_CLASSES = 10
MOST_IMAGES = 5
"""Classes and images a class in a picture."""
_TITLE, _NAMES, _GAP = 40, 26, 20
"""Heights in pixels: of a title, of the class names, between two grids."""


def grid(images: Tensor, classes: int) -> np.ndarray:
    """A grid uint8 [height, width, 4], one column a class, of images [n, channels, h, w] that lie class after class.

    Values outside 0 to 1 are clipped; what lies between the images is transparent. The first `MOST_CLASSES` classes and
    the first `MOST_IMAGES` of each are shown.
    """
    by_class = images.detach().cpu().float().clamp(0, 1).reshape(classes, -1, *images.shape[1:])
    by_class = by_class[:MOST_CLASSES, :MOST_IMAGES]
    rows = by_class.transpose(0, 1)
    make_grid = torchvision("utils").make_grid
    colour, solid = (
        make_grid(layer.flatten(0, 1), nrow=rows.shape[1], padding=1) for layer in (rows, torch.ones_like(rows))
    )
    pixels = (torch.cat([colour, solid[:1]]).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    factor = max(1, WIDTH // pixels.shape[1])
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def before_after(pictures: Pictures, theme: Theme = LIGHT) -> bytes:
    """The set before the first step above, after the last step below, with the names of the classes over the columns.

    One grid when nothing was optimised, so that both are the same.
    """
    if torch.equal(pictures.before, pictures.after):
        return _sheet([("real images, not optimised", pictures.after)], pictures.class_names, theme)
    sheets = [("before: real images", pictures.before), ("after: distilled", pictures.after)]
    return _sheet(sheets, pictures.class_names, theme)


def picture(images: Tensor, class_names: tuple[str, ...], theme: Theme = LIGHT) -> bytes:
    """One set of images [n, channels, h, w] in 0 to 1, class after class, the names of the classes over the columns."""
    return _sheet([("", images)], class_names, theme)


def _sheet(sheets: list[tuple[str, Tensor]], class_names: tuple[str, ...], theme: Theme) -> bytes:
    """Grids under each other, each under its title and its class names; measured in pixels from the top."""
    from matplotlib.figure import Figure

    grids = [(title, grid(images, len(class_names))) for title, images in sheets]
    bands = [_NAMES + (_TITLE if title else 0) for title, _ in grids]
    width = grids[0][1].shape[1]
    height = sum(bands) + sum(pixels.shape[0] for _, pixels in grids) + _GAP * (len(grids) - 1)
    with style(theme):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        top = 0
        for (title, pixels), band in zip(grids, bands, strict=True):
            figure.text(0, 1 - (top + _TITLE / 2) / height, title, va="center", fontsize=8)
            for at, name in enumerate(class_names[:MOST_CLASSES]):
                place = (at + 0.5) / min(len(class_names), MOST_CLASSES)
                figure.text(place, 1 - (top + band - _NAMES / 2) / height, name, ha="center", va="center", fontsize=8)
            top += band + pixels.shape[0]
            figure.figimage(pixels, 0, height - top, origin="upper")
            top += _GAP
        return png(figure)
