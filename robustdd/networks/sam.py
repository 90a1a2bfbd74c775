"""GSAM: descend where the neighbourhood is flat, and bring the perturbed loss and the loss together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TINY = 1e-12


def perturbation(parameters: Tensor, gradient: Tensor, rho: float) -> Tensor:
    """Steepest ascent of length `rho` in the metric of the parameters' own sizes (adaptive), [P].

    Source: ASAM (Kwon et al. 2021), with the one global norm that FTD and DATM use.
    """
    norm: Tensor = torch.linalg.vector_norm(parameters * gradient)
    return parameters.square() * gradient * (rho / (norm + TINY))


def surrogate_gradient(gradient: Tensor, perturbed: Tensor, share: float) -> Tensor:
    """The perturbed gradient less `share` of that part of the gradient which is orthogonal to it, [P].

    Source: GSAM (Zhuang et al. 2022), with the guards against zero of its public code.
    """
    norm: Tensor = torch.linalg.vector_norm(gradient)
    perturbed_norm: Tensor = torch.linalg.vector_norm(perturbed)
    cosine = gradient.dot(perturbed) / (norm * perturbed_norm + TINY)
    orthogonal = gradient - cosine * norm * perturbed / (perturbed_norm + TINY)
    return perturbed - share * orthogonal


def gradient(
    loss_gradient: Callable[[Tensor], tuple[Tensor, Tensor]], parameters: Tensor, rho: float, share: float
) -> tuple[Tensor, Tensor]:
    """Gradient [P] that the base optimiser steps along from `parameters`, and the loss there.

    `loss_gradient` gives (gradient, loss) at parameters, on one and the same batch at each call. With `rho` 0 the
    perturbed gradient is the gradient itself and its orthogonal part is 0, so there is no second pass: SGD to the bit.
    """
    plain, loss = loss_gradient(parameters)
    if rho == 0:
        return plain, loss
    perturbed, _ = loss_gradient(parameters + perturbation(parameters, plain, rho))
    return surrogate_gradient(plain, perturbed, share), loss
