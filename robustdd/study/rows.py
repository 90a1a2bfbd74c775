"""A distilled set as its stage left it, verified before it is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from robustdd.data.whitening import Whitening
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.store.verifying import verify
from robustdd.study.load import load_study, view_of_row


@dataclass(frozen=True)
class StoredSet:
    """A distilled set, its images as pixels [n, channels, height, width] (0 to 1, not clipped), and its classes."""

    distilled: SyntheticSet
    pixels: Tensor
    class_names: tuple[str, ...]


def load_row(study: Path, row: str) -> StoredSet:
    """The distilled set of `row` in the study's folder, with the whitening of its dataset.

    UserError for an unknown row; CorruptArtifact when a file is missing or is not what its manifest names.
    """
    from safetensors.torch import load_file

    read = load_study(study)
    dataset = read.cells[view_of_row(read, row).cell].dataset
    images, folder = study / "data" / "images" / dataset, study / "data" / "distill" / row
    for where, name in ((folder, "distilled"), (images, "whitening"), (images, "train")):
        verify(where, name)
    distilled = SyntheticSet.from_tensors(load_file(folder / "distilled.safetensors"))
    whitening = Whitening.from_tensors(load_file(images / "whitening.safetensors"))
    names = json.loads((images / "classes.json").read_bytes())
    return StoredSet(distilled, whitening.invert(distilled.images), tuple(names))
