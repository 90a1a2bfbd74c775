"""Readers of image sets: whatever the source, one uint8 tensor with stable ids."""

from __future__ import annotations

from robustdd.datasets.images import ImageSet, Split
from robustdd.errors import UserError
from robustdd.params import Dataset

__all__ = ["ImageSet", "Split", "read"]


def read(params: Dataset) -> Split:
    """Training and test images of the data set that `params` names; raises UserError for an unknown kind."""
    if params.kind == "digits":
        from robustdd.datasets import digits

        return digits.read(params)
    raise UserError(f"dataset kind: expected digits, got {params.kind!r}")
