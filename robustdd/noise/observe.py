"""The observed labels of a cell, whatever its noise, and what is worth knowing of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from robustdd.noise.corrupt import corrupt, counted_matrix, legacy_draws
from robustdd.noise.human import LICENCE, SOURCE, human_labels
from robustdd.noise.transition import transition_matrix
from robustdd.params import Noise
from robustdd.rng import generator


@dataclass(frozen=True, eq=False)
class Observed:
    """Observed labels int64 [n], and the transition matrix float64 [C, C] that they were drawn from or that they show.

    `facts` says, for human labels, whose they are.
    """

    labels: Tensor
    matrix: Tensor
    facts: dict[str, str]


def observe(noise: Noise, clean: Tensor, class_names: Sequence[str], folder: Path) -> Observed:
    """Observed labels of the samples with `clean` labels int64 [n], in the order of the data set.

    The noise has a stream of its own, named by its seed alone: of two rates with one seed the higher one flips all that
    the lower one flips (not so with exact counts), which pairs a comparison of rates. Relative paths of `noise` are
    seen from `folder`, that of the study. Raises UserError when the noise does not fit the labels or a file of it is
    not what it should be.
    """
    if noise.kind == "human":
        labels = human_labels(noise.annotation or "", noise.file, folder, clean)
        return Observed(labels, counted_matrix(labels, clean, len(class_names)), {"source": SOURCE, "licence": LICENCE})
    matrix = transition_matrix(noise, len(class_names), class_names, folder)
    if noise.legacy is not None:
        return Observed(legacy_draws(clean, matrix), matrix, {})
    return Observed(corrupt(clean, matrix, noise.draw, generator("noise", noise.seed)), matrix, {})
