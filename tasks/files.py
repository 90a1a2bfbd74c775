"""Reading the artifacts of earlier stages into tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from robustdd.data.lazy_images import Images, whitened
from robustdd.data.whitening import Whitening
from robustdd.devices import resolve, settled
from robustdd.networks.convnet import ConvNet
from robustdd.params import Network, Study
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Unit


@dataclass(frozen=True)
class LabelledImages:
    """Whitened images [n, channels, height, width] with observed labels int64 [n], on the unit's device."""

    images: Images
    observed: Tensor
    ids: tuple[str, ...]
    clean: Tensor | None
    """Clean labels int64 [n] where they are known; for measuring and for oracle weights alone."""


def training_inputs(study: Study, layout: Layout, cell: str) -> dict[str, Input]:
    """The inputs `train`, `whitening` and `labels` of a unit that looks at the noisy training images of a cell."""
    images = layout.artifact("images", study.cells[cell].dataset)
    labels = layout.artifact("labels", cell)
    return {"train": Input(images, "train"), "whitening": Input(images, "whitening"), "labels": Input(labels, "labels")}


def test_inputs(study: Study, layout: Layout, cell: str) -> dict[str, Input]:
    """The input `test` of a unit that measures accuracy; nothing where the data set has no test images."""
    dataset = study.cells[cell].dataset
    return {"test": Input(layout.artifact("images", dataset), "test")} if study.datasets[dataset].test_set else {}


def run_params(study: Study) -> dict[str, str | int]:
    """The device and the threads of every computing task: other threads give other bits."""
    return {"device": settled(study.device), "threads": study.threads}


def training_images(unit: Unit) -> LabelledImages:
    """The noisy images that are trained on, of a unit with the inputs `train`, `whitening` and `labels`."""
    return _labelled_images(unit, "used")


def holdout_images(unit: Unit) -> LabelledImages:
    """The noisy hold-out; it may be empty."""
    return _labelled_images(unit, "holdout")


def _labelled_images(unit: Unit, part: Literal["used", "holdout"]) -> LabelledImages:
    device = resolve(unit.params["device"])
    table = read_table(unit.path("labels", "labels.parquet"))
    rows = [row for row, inside in enumerate(table[part].to_pylist()) if inside]
    ids = table["id"].to_pylist()
    images, clean = load_file(unit.path("train", "train.safetensors"))["images"][rows], known_column(table, "clean")
    return LabelledImages(
        images=whitened(images, whitening(unit), device),
        observed=column(table, "observed")[rows].to(device),
        ids=tuple(ids[row] for row in rows),
        clean=None if clean is None else clean[rows].to(device),
    )


def test_images(unit: Unit) -> tuple[Images, Tensor]:
    """Whitened test images and their labels; `evaluate` and `train-full` alone have the input `test`.

    Where the data set has none, the noisy hold-out takes their place.
    """
    if "test" not in unit.inputs:
        apart = holdout_images(unit)
        return apart.images, apart.observed
    device = resolve(unit.params["device"])
    tensors = load_file(unit.path("test", "test.safetensors"))
    return whitened(tensors["images"], whitening(unit), device), tensors["labels"].to(device)


def whitening(unit: Unit) -> Whitening:
    """The whitening of a unit's dataset."""
    return Whitening.from_tensors(load_file(unit.path("whitening", "whitening.safetensors")))


def class_names(unit: Unit) -> tuple[str, ...]:
    """Names of the classes of a unit's dataset."""
    return tuple(json.loads(unit.path("train", "classes.json").read_bytes()))


def network_for(size: Network, images: Images, classes: int) -> ConvNet:
    """The ConvNet that takes these images [n, channels, height, width]."""
    _, channels, height, width = images.shape
    return ConvNet(channels, (height, width), classes, size.width, size.depth)


def read_table(path: Path) -> pa.Table:
    """A parquet artifact."""
    return pq.read_table(path)


def column(table: pa.Table, name: str) -> Tensor:
    """A numeric column as a tensor."""
    return torch.from_numpy(table[name].to_numpy().copy())


def known_column(table: pa.Table, name: str) -> Tensor | None:
    """A numeric column as a tensor; None where the table lacks it, because nobody knows its values."""
    return column(table, name) if name in table.column_names else None


def parquet(**columns: object) -> bytes:
    """A parquet file of these columns: tensors [n] or sequences."""
    arrays = {
        name: pa.array(value.cpu().numpy() if isinstance(value, Tensor) else value) for name, value in columns.items()
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), sink, compression="zstd")
    return bytes(sink.getvalue())


def tensors_file(**tensors: Tensor) -> bytes:
    """A safetensors file of these tensors."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def json_file(value: object) -> bytes:
    """A JSON file with sorted keys."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
