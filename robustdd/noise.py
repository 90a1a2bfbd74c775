"""Wrong labels on purpose: transition matrices and draws from them."""

from __future__ import annotations

import torch
from torch import Tensor

from robustdd.apportion import apportion
from robustdd.datasets.images import check_labels
from robustdd.errors import UserError
from robustdd.params import Noise

_ROW_TOLERANCE = 1e-6


def transition_matrix(noise: Noise, classes: int) -> Tensor:
    """Probability of every observed label (columns) for every clean one (rows), float64 [classes, classes].

    `symmetric`: 1 - rate on the diagonal, rate / (classes - 1) elsewhere: a flip never ends in the clean class (Sec.
    5.1). `matrix`: the given one. `none`: the identity. Raises UserError when the params do not fit the kind or the
    number of classes.
    """
    if noise.kind != "symmetric" and noise.rate:
        raise UserError(f"noise rate {noise.rate}: has no meaning for kind {noise.kind}; leave it out")
    if noise.kind != "matrix" and noise.matrix:
        raise UserError(f"noise matrix: has no meaning for kind {noise.kind}; leave it out")
    if noise.kind == "none":
        return torch.eye(classes, dtype=torch.float64)
    if noise.kind == "matrix":
        return _given_matrix(noise.matrix, classes)
    if classes < 2:
        raise UserError(f"symmetric noise: expected at least 2 classes, got {classes}")
    matrix = torch.full((classes, classes), noise.rate / (classes - 1), dtype=torch.float64)
    return matrix.fill_diagonal_(1 - noise.rate)


def corrupt(labels: Tensor, matrix: Tensor, draw: str, generator: torch.Generator) -> Tensor:
    """Observed labels, int64 [n], drawn from the rows of `matrix` that the clean `labels` [n] name.

    `bernoulli`: one independent draw a sample, so the realised rate varies. `exact`: for every clean class the counts
    of the observed labels are its row times its size by largest remainder, at random positions. Every flip starts from
    the clean label: none is flipped twice. Raises UserError for labels or a matrix that do not fit.
    """
    check_labels(labels, len(labels), len(matrix))
    _check_rows(matrix)
    if draw == "bernoulli":
        return _independent_draws(labels, matrix, generator)
    if draw == "exact":
        return _exact_counts(labels, matrix, generator)
    raise UserError(f"noise draw: expected bernoulli or exact, got {draw!r}")


def realised_rate(observed: Tensor, clean: Tensor) -> float:
    """Share of labels that differ from the clean ones; raises UserError unless both are [n] with n >= 1."""
    if observed.shape != clean.shape or not len(clean):
        raise UserError(f"noise rate: expected two equally long label lists, got {len(observed)} and {len(clean)}")
    return int((observed != clean).sum()) / len(clean)


def _given_matrix(rows: tuple[tuple[float, ...], ...], classes: int) -> Tensor:
    widths = {len(row) for row in rows}
    if len(rows) != classes or widths != {classes}:
        shape = f"{len(rows)} rows of {' or '.join(str(width) for width in sorted(widths)) or 'no'} values"
        raise UserError(f"noise matrix: expected {classes} x {classes}, got {shape}")
    matrix = torch.tensor(rows, dtype=torch.float64)
    _check_rows(matrix)
    return matrix


def _check_rows(matrix: Tensor) -> None:
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UserError(f"noise matrix: expected a square matrix, got {list(matrix.shape)}")
    sums = matrix.sum(1)
    wrong = ((sums - 1).abs() <= _ROW_TOLERANCE).logical_not() | (matrix >= 0).all(1).logical_not()
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise UserError(
            f"noise matrix: expected rows of shares that sum to 1, got sum {float(sums[row]):.6g} in row {row}"
        )


def _independent_draws(labels: Tensor, matrix: Tensor, generator: torch.Generator) -> Tensor:
    cumulative = matrix.double().cumsum(1)
    # Divided by its own last value: a row that sums to 1 - 1e-16 must not leave a gap below 1.
    cumulative = cumulative / cumulative[:, -1:]
    uniform = torch.rand(len(labels), dtype=torch.float64, generator=generator)
    return (uniform[:, None] >= cumulative[labels]).sum(1)


def _exact_counts(labels: Tensor, matrix: Tensor, generator: torch.Generator) -> Tensor:
    observed = labels.clone()
    for label, row in enumerate(matrix):
        rows = (labels == label).nonzero().flatten()
        counts = apportion(len(rows), row, generator)
        shuffled = rows[torch.randperm(len(rows), generator=generator)]
        observed[shuffled] = torch.arange(len(matrix)).repeat_interleave(counts)
    return observed
