"""Shapes of a study: how many images of which size, how large the networks are, how large the files get."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robustdd.data.catalog import BY_KIND
from robustdd.data.sizes import held_and_used
from robustdd.networks.convnet import ConvNet
from robustdd.params import Dataset, Network, Study

DIGITS = (1797, 1, 8, 10)
"""Images, channels, side and classes of scikit-learn's digits."""

_WIDTHS = {"F64": 8, "I64": 8, "F32": 4, "U8": 1}


@dataclass(frozen=True)
class Images:
    """One data set: its training images, those of them trained on and held out, its test images; shape and classes."""

    whole: int
    train: int
    held_out: int
    test: int
    channels: int
    side: tuple[int, int]
    classes: int

    @property
    def values(self) -> int:
        """Values of one image."""
        return self.channels * math.prod(self.side)


def images_of(dataset: Dataset, folder: Path) -> Images:
    """The shape of a data set; own images are read, from the study's `folder`, for nobody else knows how many."""
    if dataset.kind == "digits":
        count, channels, side, classes = DIGITS
        return _split(dataset, count - dataset.test_images, dataset.test_images, channels, (side, side), classes)
    if dataset.kind in BY_KIND:
        known = BY_KIND[dataset.kind]
        return _split(dataset, known.train_images, known.test_images, 3, (32, 32), len(known.class_names))
    from robustdd.data.read import read

    found = read(dataset, folder)
    count, channels, height, width = found.train.images.shape
    test = 0 if found.test is None else len(found.test)
    return _split(dataset, count, test, channels, (height, width), len(found.train.class_names))


def _split(dataset: Dataset, count: int, test: int, channels: int, side: tuple[int, int], classes: int) -> Images:
    apart, used = held_and_used(dataset, count)
    return Images(count, used, apart, test, channels, side, classes)


def network_of(size: Network, images: Images) -> ConvNet:
    """The network that sees these images."""
    return ConvNet(images.channels, images.side, images.classes, size.width, size.depth)


def products(network: ConvNet) -> int:
    """Multiplications of one image on its way forward through the convolutions and the classifier."""
    height, width = network.image_size
    total, incoming = 0, network.channels
    for layer in range(network.depth):
        total += network.width * incoming * 9 * (height >> layer) * (width >> layer)
        incoming = network.width
    return total + network.num_features * network.classes


def activations(network: ConvNet) -> int:
    """Values of one image that a step backward needs: input of every convolution, norm and ReLU."""
    height, width = network.image_size
    total = network.channels * height * width
    for layer in range(network.depth):
        area = (height >> layer) * (width >> layer)
        total += 2 * network.width * area + network.width * (area // 4)
    return total


def file_bytes(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> int:
    """Bytes of a safetensors file of these tensors, each its type (`F32`) and shape: header, padded, and values."""
    ordered = sorted(tensors.items(), key=lambda item: (-_WIDTHS[item[1][0]], item[0]))
    header: dict[str, object] = {}
    end = 0
    for name, (kind, shape) in ordered:
        begin, end = end, end + _WIDTHS[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    text = len(json.dumps(header, separators=(",", ":")))
    return 8 + (text + 7) // 8 * 8 + end


def all_images(study: Study, folder: Path) -> dict[str, Images]:
    """The shape of every data set of a study, by id."""
    return {ident: images_of(dataset, folder) for ident, dataset in study.datasets.items()}
