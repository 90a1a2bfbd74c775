"""Human labels of CIFAR-10 and CIFAR-100, from the two files of CIFAR-N as its authors publish them.

The labels are licensed CC BY-NC 4.0: name the authors, no commercial use. They are never part of this project; who
wants them fetches them from https://github.com/UCSC-REAL/cifar-10-100n. Source: Wei et al., "Learning with Noisy Labels
Revisited: A Study Using Real-World Human Annotations", ICLR 2022.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustdd.data.data_folder import locate
from robustdd.errors import UserError

SOURCE = "CIFAR-N, Wei et al., ICLR 2022"
LICENCE = "CC BY-NC 4.0: name the authors, no commercial use"


@dataclass(frozen=True)
class HumanFile:
    """A file of CIFAR-N as published: its name, its bytes, and the key of every annotation in it."""

    name: str
    sha256: str
    size: int
    dataset: str
    keys: dict[str, str]


CIFAR10N = HumanFile(
    "CIFAR-10_human.pt",
    "873e69c39cb9b5e97fb6bae2d60bb59b38a5cbc31d2b868f7903dcb2b9dd2310",
    2_401_007,
    "CIFAR-10",
    {
        "aggre": "aggre_label",
        "random1": "random_label1",
        "random2": "random_label2",
        "random3": "random_label3",
        "worse": "worse_label",
    },
)
CIFAR100N = HumanFile(
    "CIFAR-100_human.pt",
    "bd2d80409754d420292d622e15e25248ba21e37d27429efac49c8da723f44394",
    1_000_959,
    "CIFAR-100",
    {"noisy": "noisy_label"},
)
FILES = {name: file for file in (CIFAR10N, CIFAR100N) for name in file.keys}
"""The file of every annotation."""


def human_labels(annotation: str, path: str | None, folder: Path, clean: Tensor) -> Tensor:
    """The labels, int64 [n], that people gave to the training images whose `clean` labels int64 [n] are given.

    `path`, seen from `folder`, is the file, or cifar-n/NAME under ROBUSTDD_DATA where it is None. Raises UserError for
    an unknown annotation, for any file but the published one, and for images that are others or in another order.
    """
    if annotation not in FILES:
        raise UserError(f"noise annotation: expected one of {', '.join(FILES)}, got {annotation!r}")
    file = FILES[annotation]
    found = locate(path, f"cifar-n/{file.name}", folder, f"human labels {annotation}")
    arrays = read_arrays(found, file)
    _check_order(arrays["clean_label"], clean, file)
    return arrays[file.keys[annotation]]


def read_arrays(path: Path, file: HumanFile) -> dict[str, Tensor]:
    """The clean labels and every annotation of `file`, int64 [n], from `path`; raises UserError for other bytes.

    The bytes are compared with the published ones before anything is unpickled, and the unpickler then makes arrays of
    numbers alone.
    """
    try:
        # One byte more than expected tells a longer file without reading all of it.
        with path.open("rb") as opened:
            data = opened.read(file.size + 1)
    except OSError as error:
        raise UserError(f"human labels {path}: cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise UserError(
            f"human labels {path}: is not {file.name} as published (sha256 {file.sha256[:16]}...), which is in "
            "torchvision's order of the images; fetch it anew, and take no reordered, TFDS-ordered or converted copy"
        )
    plain = _load(data, path)
    return {key: torch.from_numpy(plain[key]) for key in ("clean_label", *file.keys.values())}


def _load(data: bytes, path: Path) -> dict[str, Any]:
    """The dict of arrays in a checkpoint; every class that is not needed for arrays of numbers is refused."""
    array = np.empty(0, dtype=np.int64)
    rebuild = array.__reduce__()[0]
    allowed: list[Any] = [(rebuild, "numpy.core.multiarray._reconstruct"), np.ndarray, np.dtype, type(array.dtype)]
    try:
        with torch.serialization.safe_globals(allowed):
            return dict(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged pickle raises anything
        raise UserError(f"human labels {path}: expected a dict of arrays of numbers and nothing else") from error


def _check_order(published: Tensor, clean: Tensor, file: HumanFile) -> None:
    if torch.equal(published, clean):
        return
    name = f"human labels of {file.dataset}"
    if len(clean) != len(published):
        raise UserError(f"{name}: expected its {len(published):,} training images, got {len(clean):,}")
    differing = int((published != clean).sum())
    if torch.equal(published.sort().values, clean.sort().values):
        raise UserError(
            f"{name}: the images are in another order ({differing:,} clean labels differ though every class has its "
            "number); expected torchvision's, that of the original python batches, not TFDS's"
        )
    raise UserError(f"{name}: {differing:,} clean labels are not those of {file.dataset}'s training images")
