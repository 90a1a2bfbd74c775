"""Draws of observed labels from a transition matrix; every flip starts from the clean label."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robustdd.data.apportion import apportion
from robustdd.data.labels import check_labels
from robustdd.errors import UserError

_ROW_TOLERANCE = 1e-6


def corrupt(labels: Tensor, matrix: Tensor, draw: str, generator: torch.Generator) -> Tensor:
    """Observed labels, int64 [n], drawn from the rows of `matrix` that the clean `labels` [n] name.

    `bernoulli`: one independent draw a sample, so the realised rate varies. `exact`: for every clean class the counts
    of the observed labels are its row times its size by largest remainder, at random positions. Every flip starts from
    the clean label: none is flipped twice. Raises UserError for labels or a matrix that do not fit.
    """
    check_labels(labels, len(labels), len(matrix))
    check_rows(matrix)
    if draw == "bernoulli":
        return _independent_draws(labels, matrix, generator)
    if draw == "exact":
        return _exact_counts(labels, matrix, generator)
    raise UserError(f"noise draw: expected bernoulli or exact, got {draw!r}")


def legacy_draws(labels: Tensor, matrix: Tensor) -> Tensor:
    """Observed labels, int64 [n], as DD_LNL draws them: one multinomial a sample, in order, from one fixed stream.

    The stream is NumPy's legacy `RandomState(0)`, which never changes, so every run of DD_LNL, whatever its seed, had
    these labels. Raises UserError for labels or a matrix that do not fit.
    """
    check_labels(labels, len(labels), len(matrix))
    check_rows(matrix)
    stream, rows = np.random.RandomState(0), matrix.double().numpy()
    drawn = [int(stream.multinomial(1, rows[label]).argmax()) for label in labels.tolist()]
    return torch.tensor(drawn, dtype=torch.int64)


def realised_rate(observed: Tensor, clean: Tensor) -> float:
    """Share of labels that differ from the clean ones; raises UserError unless both are [n] with n >= 1."""
    if observed.shape != clean.shape or not len(clean):
        raise UserError(f"noise rate: expected two equally long label lists, got {len(observed)} and {len(clean)}")
    return int((observed != clean).sum()) / len(clean)


def counted_matrix(observed: Tensor, clean: Tensor, classes: int) -> Tensor:
    """Share of every observed label (columns) among the samples of every clean one (rows), float64 [classes, classes].

    The row of a class without a sample is that of the identity.
    """
    counts = (clean * classes + observed).bincount(minlength=classes**2).view(classes, classes).double()
    seen = counts.sum(1, keepdim=True)
    return torch.where(seen > 0, counts / seen.clamp(min=1), torch.eye(classes, dtype=torch.float64))


def check_rows(matrix: Tensor) -> None:
    """Raise UserError unless `matrix` is square and every row holds shares that sum to 1."""
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
