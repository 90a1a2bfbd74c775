"""The handwritten digits that scikit-learn ships: 1,797 images of 8x8 pixels, real data without a download."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from robustdd.apportion import apportion
from robustdd.datasets.images import ImageSet, Split
from robustdd.errors import CorruptArtifact, UserError
from robustdd.params import Dataset
from robustdd.rng import generator

_SHA256 = "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91"


def read(params: Dataset) -> Split:
    """Digits, uint8 [n, 1, 8, 8], with a stratified test split of `test_images` drawn by `split_seed`.

    Both parts keep the published order; ids are `digits-0000`... by the position among all 1,797. Raises UserError when
    the test split would leave no training image, CorruptArtifact when scikit-learn's copy is not the known one.
    Source: Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI 1998; scikit-learn has its test part.
    """
    everything = _load()
    if params.test_images >= len(everything):
        raise UserError(f"test_images: expected 1..{len(everything) - 1} of the digits, got {params.test_images}")
    held_out = _stratified_rows(everything.labels, params.test_images, params.split_seed)
    is_test = torch.zeros(len(everything), dtype=torch.bool)
    is_test[held_out] = True
    return Split(everything.select((~is_test).nonzero().flatten()), everything.select(is_test.nonzero().flatten()))


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
    return ImageSet(images, labels, ids, tuple(str(digit) for digit in range(10)))


def _stratified_rows(labels: Tensor, count: int, seed: int) -> Tensor:
    """`count` positions, class shares as near as possible to those of `labels`."""
    draw = generator("split", "digits", seed)
    quotas = apportion(count, labels.bincount(), draw)
    chosen = []
    for label, quota in enumerate(quotas.tolist()):
        rows = (labels == label).nonzero().flatten()
        chosen.append(rows[torch.randperm(len(rows), generator=draw)[:quota]])
    return torch.cat(chosen)
