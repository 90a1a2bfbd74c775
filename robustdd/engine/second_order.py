"""What one tangent sweep through a student's step gives."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Sweep(NamedTuple):
    """Derivatives of s = <gradient of the loss in the parameters, direction>: s itself, and its three gradients."""

    slope: Tensor
    images: Tensor
    label_logits: Tensor
    parameters: Tensor
