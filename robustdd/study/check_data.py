"""Reading every data set and every noise of a study once, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from robustdd.data.read import ImageSet, Split, read
from robustdd.data.split import draw_holdout, draw_used
from robustdd.errors import UserError
from robustdd.noise.api import observe, realised_rate
from robustdd.params import Dataset, Noise, Study
from robustdd.study.load import rows_of_view


def data_lines(study: Study, folder: Path) -> Iterator[str]:
    """One line a data set and one a cell: how many images there are, and how many of their labels are wrong.

    Every image is opened and every file of labels read. `folder` is the study's. Raises UserError or CorruptArtifact,
    in one line that names data set or cell, for the first that cannot be used, or that is too small for its rows.
    """
    for ident, dataset in study.datasets.items():
        split = read(dataset, folder)
        yield f"dataset {ident}: {_told(split, dataset)}"
        for cell, asked in study.cells.items():
            if asked.dataset == ident:
                observed, told = _labels(split.train, asked.noise, folder)
                _check_sizes(study, cell, observed[draw_used(len(split.train), dataset)], split.train.class_names)
                yield f"cell {cell}: {told}"


def _told(split: Split, params: Dataset) -> str:
    count, channels, height, width = split.train.images.shape
    held = int(_held(split, params).sum())
    if split.test is None and not held:
        raise UserError(f"holdout: {params.holdout} of {count:,} images is none; expected a larger share")
    tested = "no test images" if split.test is None else f"{len(split.test):,} test images"
    size = f"{channels} x {height} x {width} pixels in {len(split.train.class_names):,} classes"
    used = int(draw_used(count, params).sum())
    parts = f"{held:,} held out" + (f", {used:,} trained on" if used + held < count else "")
    return f"{count:,} training images ({parts}) and {tested} of {size}"


def _held(split: Split, params: Dataset) -> Tensor:
    return draw_holdout(len(split.train), params.holdout, params.split_seed)


def _check_sizes(study: Study, cell: str, observed: Tensor, class_names: Sequence[str]) -> None:
    """Raise UserError where a class has fewer images than a row wants, or all are too few for the neighbours."""
    if study.neighbours.k >= len(observed):
        raise UserError(f"cell {cell}: neighbours.k is {study.neighbours.k}, expected less than {len(observed)} images")
    counts = observed.bincount(minlength=len(class_names)).tolist()
    fewest = min(range(len(counts)), key=counts.__getitem__)
    for view in (ident for ident, one in study.views.items() if one.cell == cell):
        for ident, row in rows_of_view(study, view).items():
            if counts[fewest] < row.ipc:
                raise UserError(
                    f"row {ident}: ipc is {row.ipc}, expected at most {counts[fewest]}, the images with the observed "
                    f"label {class_names[fewest]!r}"
                )


def _labels(train: ImageSet, noise: Noise, folder: Path) -> tuple[Tensor, str]:
    clean = train.clean
    if noise.kind == "none":
        observed = train.labels
    else:
        clean = train.labels if clean is None else clean
        observed = observe(noise, clean, train.class_names, folder).labels
    if clean is None:
        return observed, "labels as given, right or wrong"
    return observed, f"{100 * realised_rate(observed, clean):.2f} % of the labels wrong"
