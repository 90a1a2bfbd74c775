"""The handwritten digits that scikit-learn ships: 1,797 images of 8x8 pixels, real data without a download."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from robustdd.data.apportion import apportion
from robustdd.data.image_set import ImageSet
from robustdd.errors import CorruptArtifact, UserError
from robustdd.params import Dataset
from robustdd.rng import generator

_SHA256 = "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91"


class Digits:
    """The digits with a stratified test split of `params.test_images`, drawn by `params.split_seed`.

    Images are uint8 [n, 1, 8, 8]. Both parts keep the published order; ids are `digits-0000`... by the position among
    all 1,797. Source: Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI 1998; scikit-learn has its
    test part.
    """

    files: Mapping[str, Path] = MappingProxyType({})

    def __init__(self, params: Dataset) -> None:
        self._params = params

    def train(self) -> ImageSet:
        """What the test split leaves; raises UserError when that is nothing, CorruptArtifact for another copy."""
        return self._part(is_test=False)

    def test(self) -> ImageSet:
        """The test split; raises as `train`."""
        return self._part(is_test=True)

    def _part(self, *, is_test: bool) -> ImageSet:
        everything, size = _load(), self._params.test_images
        if size >= len(everything):
            raise UserError(f"test_images: expected 1..{len(everything) - 1} of the digits, got {size}")
        mask = torch.zeros(len(everything), dtype=torch.bool)
        mask[_stratified_rows(everything.labels, size, self._params.split_seed)] = True
        return everything.select((mask == is_test).nonzero().flatten())


def _load() -> ImageSet:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    levels = torch.from_numpy(bunch.images).to(torch.int64)
    # Levels 0..16 to 0..255 in whole numbers, so that no rounding mode has a say.
    images = ((levels * 255 + 8) // 16).to(torch.uint8)[:, None].contiguous()
    labels = torch.from_numpy(bunch.target).to(torch.int64)
    digest = hashlib.sha256(images.numpy().tobytes() + labels.to(torch.uint8).numpy().tobytes()).hexdigest()
    if digest != _SHA256:
        raise CorruptArtifact(f"digits: scikit-learn's copy has sha256 {digest}, expected {_SHA256}; reinstall it")
    ids = tuple(f"digits-{row:04d}" for row in range(len(labels)))
    return ImageSet(images, labels, ids, tuple(str(digit) for digit in range(10)), labels)


def _stratified_rows(labels: Tensor, count: int, seed: int) -> Tensor:
    """`count` positions, class shares as near as possible to those of `labels`."""
    draw = generator("split", "digits", seed)
    quotas = apportion(count, labels.bincount(), draw)
    chosen = []
    for label, quota in enumerate(quotas.tolist()):
        rows = (labels == label).nonzero().flatten()
        chosen.append(rows[torch.randperm(len(rows), generator=draw)[:quota]])
    return torch.cat(chosen)
