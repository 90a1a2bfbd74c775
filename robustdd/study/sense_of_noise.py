"""Whether the noise of every cell makes sense: keys that its kind has, a matrix that fits, labels of that data set."""

from __future__ import annotations

import re
from collections.abc import Iterator

from robustdd.params import Noise, Study
from robustdd.study.sense_of_numbers import CLASSES

_WITH_RATE = ("symmetric", "asymmetric", "pairflip")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_OWN = ("folder",)
"""Kinds of data sets whose images may be anybody's, CIFAR's too."""


def noise_problems(study: Study) -> Iterator[str]:
    """What is wrong, one line each; the references of the study must be right already."""
    for ident, cell in study.cells.items():
        dataset = study.datasets[cell.dataset].kind
        for rule in (_keys, _cifar, _matrix, _files, _legacy):
            for problem in rule(cell.noise, dataset):
                yield f"cells.{ident}.noise.{problem}"


def _keys(noise: Noise, dataset: str) -> Iterator[str]:
    if noise.rate and noise.kind not in _WITH_RATE:
        yield f"rate: has no meaning for kind {noise.kind}; leave it out"
    if noise.kind == "human" and (noise.draw != "bernoulli" or noise.seed):
        yield "kind: human labels are not drawn; leave draw and seed out"
    if (noise.annotation is not None) != (noise.kind == "human"):
        yield f"annotation: belongs to kind human and to no other, found kind {noise.kind}"
    if noise.file is not None and noise.kind != "human":
        yield f"file: belongs to kind human and to no other, found kind {noise.kind}"


def _cifar(noise: Noise, dataset: str) -> Iterator[str]:
    if noise.kind == "asymmetric" and dataset not in ("cifar10", "cifar100", *_OWN):
        yield f"kind: asymmetric labels are those of CIFAR's classes, not of data set kind {dataset}"
    if noise.kind == "human" and noise.annotation is not None:
        named = "cifar100" if noise.annotation == "noisy" else "cifar10"
        if dataset not in (named, *_OWN):
            yield f"annotation: {noise.annotation} is of {named}, not of data set kind {dataset}"


def _matrix(noise: Noise, dataset: str) -> Iterator[str]:
    given = bool(noise.matrix) + (noise.matrix_file is not None)
    if given != (noise.kind == "matrix"):
        how = "gives both" if given == 2 else f"found kind {noise.kind}"
        yield f"matrix: belongs to kind matrix and to no other, here or as matrix_file; {how}"
    classes = CLASSES.get(dataset, len(noise.matrix))
    if noise.matrix and {len(noise.matrix), *map(len, noise.matrix)} != {classes}:
        yield f"matrix: expected {classes} rows of {classes} numbers"
    for index, row in enumerate(noise.matrix):
        if abs(sum(row) - 1) > 1e-6:
            yield f"matrix.{index}: the row sums to {sum(row):.6g}, expected 1"


def _files(noise: Noise, dataset: str) -> Iterator[str]:
    for name in ("matrix_file", "file"):
        path: str | None = getattr(noise, name)
        if path is not None and not (path.isprintable() and path.strip()):
            yield f"{name}: {path[:60]!r} is not allowed; expected a file's path in printable characters"
    if noise.matrix_file is None:
        if noise.matrix_sha256 is not None:
            yield "matrix_sha256: belongs to matrix_file; leave it out"
    elif not noise.matrix_file.lower().endswith((".csv", ".npy")):
        yield f"matrix_file: expected a name that ends in .csv or .npy, found {noise.matrix_file!r}"
    elif not _SHA256.fullmatch(noise.matrix_sha256 or ""):
        yield "matrix_sha256: expected the file's sha256, 64 hexadecimal digits; sha256sum tells it"


def _legacy(noise: Noise, dataset: str) -> Iterator[str]:
    if noise.legacy is None:
        return
    if noise.kind not in ("symmetric", "asymmetric"):
        yield f"legacy: {noise.legacy} knows symmetric and asymmetric noise, found kind {noise.kind}"
    if noise.draw != "bernoulli" or noise.seed:
        yield f"legacy: {noise.legacy} is one fixed draw; leave draw and seed out"
