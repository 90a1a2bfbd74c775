"""ZCA without eigenvectors: covariance by loops, roots by the Denman-Beavers iteration."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_and_covariance(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [d] and unbiased covariance [d, d] of flattened uint8 images, in 0..1."""
    rows = [[int(value) / 255 for value in image.flatten()] for image in images]
    count, size = len(rows), len(rows[0])
    mean = [sum(row[i] for row in rows) / count for i in range(size)]
    covariance = [
        [sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in rows) / (count - 1) for j in range(size)]
        for i in range(size)
    ]
    return torch.tensor(mean, dtype=torch.float64), torch.tensor(covariance, dtype=torch.float64)


def roots(matrix: Tensor, iterations: int = 30) -> tuple[Tensor, Tensor]:
    """Square root and inverse square root of a positive definite matrix."""
    root, inverse_root = matrix, torch.eye(len(matrix), dtype=matrix.dtype)
    for _ in range(iterations):
        root, inverse_root = (
            (root + torch.linalg.inv(inverse_root)) / 2,
            (inverse_root + torch.linalg.inv(root)) / 2,
        )
    return root, inverse_root
