"""Reading every data set and every noise of a study once, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robustdd.datasets import ImageSet, Split, read
from robustdd.errors import UserError
from robustdd.holdout import draw_holdout
from robustdd.noise import observe, realised_rate
from robustdd.params import Dataset, Noise, Study


def data_lines(study: Study, folder: Path) -> Iterator[str]:
    """One line a data set and one a cell: how many images there are, and how many of their labels are wrong.

    Every image is opened and every file of labels read. `folder` is the study's. Raises UserError or CorruptArtifact,
    in one line that names data set or cell, for the first that cannot be used.
    """
    for ident, dataset in study.datasets.items():
        split = read(dataset, folder)
        yield f"dataset {ident}: {_told(split, dataset)}"
        for cell, asked in study.cells.items():
            if asked.dataset == ident:
                yield f"cell {cell}: {_labels(split.train, asked.noise, folder)}"


def _told(split: Split, params: Dataset) -> str:
    count, channels, height, width = split.train.images.shape
    held = int(draw_holdout(count, params.holdout, params.split_seed).sum())
    if split.test is None and not held:
        raise UserError(f"holdout: {params.holdout} of {count:,} images is none; expected a larger share")
    tested = "no test images" if split.test is None else f"{len(split.test):,} test images"
    size = f"{channels} x {height} x {width} pixels in {len(split.train.class_names):,} classes"
    return f"{count:,} training images ({held:,} held out) and {tested} of {size}"


def _labels(train: ImageSet, noise: Noise, folder: Path) -> str:
    clean = train.clean
    if noise.kind == "none":
        observed = train.labels
    else:
        clean = train.labels if clean is None else clean
        observed = observe(noise, clean, train.class_names, folder).labels
    if clean is None:
        return "labels as given, right or wrong"
    return f"{100 * realised_rate(observed, clean):.2f} % of the labels wrong"
