"""The GSAM step number by number in float64: Zhuang et al. 2022 with the adaptive perturbation of Kwon et al. 2021."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def gsam_gradient(
    gradient_at: Callable[[Sequence[float]], Sequence[float]], weights: Sequence[float], rho: float, share: float
) -> list[float]:
    """What the base optimiser is given at `weights`."""
    gradient = gradient_at(weights)
    norm = math.sqrt(sum((abs(w) * g) ** 2 for w, g in zip(weights, gradient, strict=True)))
    shift = [rho / (norm + 1e-12) * w * w * g for w, g in zip(weights, gradient, strict=True)]
    perturbed = gradient_at([w + e for w, e in zip(weights, shift, strict=True)])
    length = math.sqrt(sum(g * g for g in gradient))
    perturbed_length = math.sqrt(sum(h * h for h in perturbed))
    dot = sum(g * h for g, h in zip(gradient, perturbed, strict=True))
    cosine = dot / (length * perturbed_length + 1e-12)
    result = []
    for g, h in zip(gradient, perturbed, strict=True):
        orthogonal = g - cosine * length * h / (perturbed_length + 1e-12)
        result.append(h - share * orthogonal)
    return result
