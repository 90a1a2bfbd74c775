"""What every list of labels must be, wherever it comes from."""

from __future__ import annotations

import torch
from torch import Tensor

from robustdd.errors import UserError


def check_labels(labels: Tensor, count: int, classes: int, name: str = "labels") -> None:
    """Raise UserError unless `labels` is int64 [count] with values 0..classes-1."""
    if labels.dtype != torch.int64 or labels.shape != (count,):
        given = f"{str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}"
        raise UserError(f"{name}: expected int64 [{count}], got {given}")
    outside = ((labels < 0) | (labels >= classes)).nonzero().flatten()
    if len(outside):
        row = int(outside[0])
        raise UserError(f"{name}: expected classes 0..{classes - 1}, got {int(labels[row])} at position {row}")
