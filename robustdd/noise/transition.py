"""The transition matrix of every kind of noise that is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from robustdd.errors import UserError
from robustdd.noise.corrupt import check_rows
from robustdd.noise.flips import asymmetric_partners, flip_matrix, pair_partners
from robustdd.noise.matrix_file import read_matrix
from robustdd.params import Noise

WITH_RATE = ("symmetric", "asymmetric", "pairflip")
"""Kinds for which `rate` has a meaning."""


def transition_matrix(
    noise: Noise, classes: int, class_names: Sequence[str] = (), folder: Path | None = None
) -> Tensor:
    """Probability of every observed label (columns) for every clean one (rows), float64 [classes, classes].

    `symmetric`: 1 - rate on the diagonal, rate / (classes - 1) elsewhere: a flip never ends in the clean class (Sec.
    5.1). `asymmetric`: by `class_names`, see `flips.asymmetric_partners`. `pairflip`: the next class with probability
    rate. `matrix`: the given one, a relative `matrix_file` seen from `folder`. `none`: the identity. Raises UserError
    when the params do not fit the kind or the classes, and for `human`, whose labels are not drawn.
    """
    _check_params(noise)
    if noise.kind == "human":
        raise UserError("noise human: its labels are read, not drawn; it has no transition matrix of its own")
    if noise.kind == "none":
        return torch.eye(classes, dtype=torch.float64)
    if noise.kind == "matrix":
        return _given_matrix(noise, classes, folder or Path())
    if classes < 2:
        raise UserError(f"{noise.kind} noise: expected at least 2 classes, got {classes}")
    if noise.kind == "symmetric":
        matrix = torch.full((classes, classes), noise.rate / (classes - 1), dtype=torch.float64)
        return matrix.fill_diagonal_(1 - noise.rate)
    named = noise.kind == "asymmetric"
    return flip_matrix(asymmetric_partners(class_names, noise.legacy) if named else pair_partners(classes), noise.rate)


def _check_params(noise: Noise) -> None:
    if noise.kind not in WITH_RATE and noise.rate:
        raise UserError(f"noise rate {noise.rate}: has no meaning for kind {noise.kind}; leave it out")
    for name in ("matrix", "matrix_file"):
        if noise.kind != "matrix" and getattr(noise, name):
            raise UserError(f"noise {name}: has no meaning for kind {noise.kind}; leave it out")


def _given_matrix(noise: Noise, classes: int, folder: Path) -> Tensor:
    if noise.matrix_file is not None:
        matrix = read_matrix(folder / noise.matrix_file, noise.matrix_sha256 or "", classes)
    else:
        widths = {len(row) for row in noise.matrix}
        if len(noise.matrix) != classes or widths != {classes}:
            shape = f"{len(noise.matrix)} rows of {' or '.join(str(width) for width in sorted(widths)) or 'no'} values"
            raise UserError(f"noise matrix: expected {classes} x {classes}, got {shape}")
        matrix = torch.tensor(noise.matrix, dtype=torch.float64)
    check_rows(matrix)
    return matrix
