"""The accuracies that the paper prints, in percent, to stand beside ours and never in place of them.

They are of the paper's scale (ConvNet of width 128, lossless CIFAR), which a study need not have.
"""

from __future__ import annotations

SOURCE = "Robust Trajectory Distillation: Hybrid Reweighting Meets Teacher-Inspired Targets, tables 1 and 2"

FULL = {
    "cifar100-sym20": 48.9,
    "cifar100-sym40": 39.9,
    "cifar100-asym20": 46.2,
    "cifar100-asym40": 33.0,
    "cifar100-human": 44.4,
}
"""Table 1, training on the whole noisy set, by cell."""

DISTILLED = {
    ("cifar10-sym20", "datm"): {10: 62.7, 50: 71.7, 500: 80.0, 1000: 81.9},
    ("cifar10-sym20", "sgr"): {10: 63.8, 50: 72.8, 500: 81.2, 1000: 83.3},
    ("cifar10-sym20", "ours"): {10: 64.5, 50: 73.5, 500: 81.5, 1000: 83.3},
    ("cifar10-sym40", "datm"): {10: 58.2, 50: 67.2, 500: 74.3, 1000: 76.7},
    ("cifar10-sym40", "sgr"): {10: 62.9, 50: 71.1, 500: 79.4, 1000: 81.2},
    ("cifar10-sym40", "ours"): {10: 64.8, 50: 71.6, 500: 80.0, 1000: 81.4},
    ("cifar100-sym20", "rcig"): {10: 41.2, 50: 38.4},
    ("cifar100-sym20", "dance"): {10: 45.8, 50: 48.0, 100: 47.5},
    ("cifar100-sym20", "datm"): {10: 45.1, 50: 49.7, 100: 48.9},
    ("cifar100-sym20", "ours"): {10: 45.8, 50: 51.6, 100: 55.7},
    ("cifar100-sym40", "rcig"): {10: 36.5, 50: 30.7},
    ("cifar100-sym40", "dance"): {10: 39.7, 50: 42.0, 100: 42.6},
    ("cifar100-sym40", "datm"): {10: 40.6, 50: 45.1, 100: 44.4},
    ("cifar100-sym40", "ours"): {10: 43.2, 50: 48.4, 100: 52.8},
    ("cifar100-asym20", "rcig"): {10: 38.9, 50: 37.5},
    ("cifar100-asym20", "dance"): {10: 43.8, 50: 46.7, 100: 48.2},
    ("cifar100-asym20", "datm"): {10: 40.3, 50: 45.4, 100: 50.2},
    ("cifar100-asym20", "ours"): {10: 44.6, 50: 50.3, 100: 54.4},
    ("cifar100-asym40", "rcig"): {10: 28.7, 50: 27.9},
    ("cifar100-asym40", "dance"): {10: 32.2, 50: 34.2, 100: 35.22},
    ("cifar100-asym40", "datm"): {10: 29.4, 50: 32.0, 100: 36.0},
    ("cifar100-asym40", "ours"): {10: 34.7, 50: 36.5, 100: 40.7},
    ("cifar100-human", "rcig"): {10: 37.0, 50: 35.3},
    ("cifar100-human", "dance"): {10: 42.0, 50: 43.6},
    ("cifar100-human", "datm"): {10: 39.9, 50: 43.9},
    ("cifar100-human", "ours"): {10: 41.0, 50: 45.9},
}
"""Tables 1 and 2, by cell and method, then by images a class."""
TEACHERS = {"datm": "plain", "sgr": "sgr", "ours": "sgr"}
"""The weights that the teachers of the paper's rows were trained with."""


def paper_accuracy(cell: str, method: str, ipc: int | None, view: str = "") -> float | None:
    """The paper's test accuracy, 0 to 1, of the setting of that name; None where the paper has none.

    Cells are known by their id, so an id of the paper's must name the paper's dataset and noise; so are views: CELL-sgr
    and CELL-plain are the paper's, and a view of other weights (`CELL-oracle`) has no number there.
    """
    if ipc is None:
        percent = FULL.get(cell)
    elif method in TEACHERS and view != f"{cell}-{TEACHERS[method]}":
        percent = None
    else:
        percent = DISTILLED.get((cell, method), {}).get(ipc)
    return None if percent is None else percent / 100
