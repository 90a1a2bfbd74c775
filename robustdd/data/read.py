"""Readers of image sets: whatever the source, one uint8 tensor with stable ids."""

from __future__ import annotations

from pathlib import Path

from robustdd.data.image_set import ImageSet, Split
from robustdd.data.source import Absent, Source, fingerprint
from robustdd.errors import UserError
from robustdd.params import Dataset

__all__ = ["Absent", "ImageSet", "Source", "Split", "fingerprint", "open_source", "read"]


def read(params: Dataset, base: Path = Path()) -> Split:
    """Training and test images of the data set that `params` names; relative paths are seen from `base`.

    Raises UserError in one line that names the file; CorruptArtifact where scikit-learn has other digits.
    """
    source = open_source(params, base)
    return Split(source.train(), source.test())


def open_source(params: Dataset, base: Path = Path()) -> Source:
    """Find the files of the data set that `params` names, without opening an image; raises UserError as `read`."""
    if params.kind == "digits":
        from robustdd.data.digits import Digits

        return Digits(params)
    if params.kind in ("cifar10", "cifar100"):
        from robustdd.data import cifar

        return cifar.find(params, base)
    if params.kind == "folder":
        from robustdd.data.folder import Folder

        return Folder(params, base)
    raise UserError(f"dataset kind: expected digits, cifar10, cifar100 or folder, got {params.kind!r}")
