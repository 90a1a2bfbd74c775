"""Which class is taken for which: the flips of asymmetric and of pair noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from robustdd.errors import UserError
from robustdd.noise.superclasses import CIFAR100_SUPERCLASSES

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR10_FLIPS = {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}


def asymmetric_partners(class_names: Sequence[str], legacy: str | None = None) -> tuple[int, ...]:
    """Class that each class is taken for, itself where it never flips, of CIFAR-10 or CIFAR-100 by their class names.

    CIFAR-10: truck to automobile, bird to airplane, deer to horse, cat and dog to each other (Patrini et al., CVPR
    2017). CIFAR-100: the next class of its superclass in alphabetical order, the last to the first. `legacy: ddlnl`
    forgets the mouse as DD_LNL does: it never flips, and the squirrel is taken for the hamster. Raises UserError for
    other class names.
    """
    if set(class_names) == set(CIFAR10):
        return _partners(class_names, _CIFAR10_FLIPS)
    if set(class_names) == {name for group in CIFAR100_SUPERCLASSES for name in group}:
        return _partners(class_names, _next_in_superclass("mouse" if legacy == "ddlnl" else None))
    raise UserError(
        "asymmetric noise: expected the class names of CIFAR-10 or CIFAR-100, "
        f"got {len(class_names)} others; use kind pairflip or matrix"
    )


def pair_partners(classes: int) -> tuple[int, ...]:
    """Class that each class is taken for under pair noise: the next one, the last for the first.

    Source: Han et al., "Co-teaching", NeurIPS 2018.
    """
    return tuple((label + 1) % classes for label in range(classes))


def flip_matrix(partners: Sequence[int], rate: float) -> Tensor:
    """Transition matrix, float64 [C, C], of labels that are their class's partner with probability `rate`."""
    rows, taken_for = torch.arange(len(partners)), torch.tensor(partners)
    shares = torch.where(taken_for == rows, 1.0, torch.tensor(rate, dtype=torch.float64))
    matrix = torch.eye(len(partners), dtype=torch.float64) * (1 - rate)
    matrix[rows, taken_for] = shares
    return matrix


def _partners(class_names: Sequence[str], flips: Mapping[str, str]) -> tuple[int, ...]:
    place = {name: label for label, name in enumerate(class_names)}
    return tuple(place[flips.get(name, name)] for name in class_names)


def _next_in_superclass(forgotten: str | None) -> dict[str, str]:
    groups = [[name for name in group if name != forgotten] for group in CIFAR100_SUPERCLASSES]
    return {name: after for group in groups for name, after in zip(group, group[1:] + group[:1], strict=True)}
