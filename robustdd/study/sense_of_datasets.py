"""Whether every data set makes sense: keys that its kind has, and something to measure accuracy on."""

from __future__ import annotations

from collections.abc import Iterator

from robustdd.params import Dataset, Study

_KINDS = {
    "path": ("cifar10", "cifar100", "folder"),
    "download": ("cifar10", "cifar100"),
    "test_set": ("folder",),
    "classes": ("folder",),
    "image_size": ("folder",),
    "channels": ("folder",),
}
"""Kinds of data sets that a key belongs to; the other keys belong to all."""
_MOST_CLASSES = 1000


def dataset_problems(study: Study) -> Iterator[str]:
    """What is wrong, one line each."""
    for ident, dataset in study.datasets.items():
        for rule in (_keys, _path, _classes, _measured, _shares):
            for problem in rule(dataset):
                yield f"datasets.{ident}.{problem}"


def _keys(dataset: Dataset) -> Iterator[str]:
    for key, kinds in _KINDS.items():
        if dataset.kind not in kinds and getattr(dataset, key) != getattr(Dataset, key):
            yield f"{key}: belongs to kind {' and '.join(kinds)}, found kind {dataset.kind}; leave it out"


def _path(dataset: Dataset) -> Iterator[str]:
    path = dataset.path
    if path is None:
        if dataset.kind == "folder":
            yield "path: is missing; kind folder needs that of its images"
        if dataset.download:
            yield "path: is missing; download needs a folder to put the files in"
    elif not path.isprintable() or not path.strip():
        yield f"path: {path[:60]!r} is not allowed; expected a folder's path in printable characters"
    elif len(path) > 4000 or max(map(len, path.encode().split(b"/"))) > 255:
        yield f"path: {path[:60]!r}... is longer than a path can be"


def _classes(dataset: Dataset) -> Iterator[str]:
    names = dataset.classes
    if not names:
        return
    if not 2 <= len(names) <= _MOST_CLASSES or len(set(names)) < len(names):
        yield f"classes: expected 2 to {_MOST_CLASSES:,} different names, found {len(names):,}"
    for name in names:
        if not name.isprintable() or not 0 < len(name.strip()) == len(name) <= 100:
            yield f"classes: {name[:60]!r} is not allowed; expected 1 to 100 printable characters"


def _measured(dataset: Dataset) -> Iterator[str]:
    if not dataset.test_set and not dataset.holdout:
        yield "holdout: is 0 and test_set false; expected a share above 0 to measure accuracy on"


def _shares(dataset: Dataset) -> Iterator[str]:
    most, asked = 1 - dataset.holdout, dataset.train_share
    if asked is not None and asked > most:
        yield f"train_share: expected at most {most:g} beside the hold-out, found {asked:g}"
