"""What the benchmark differentiates: real CIFAR-10 images where there are some, and short teachers on them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from robustdd.distillation.matching import Goal
from robustdd.distillation.student import StudentBatch
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.networks.augment import draw
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained, predict, train_epoch
from robustdd.rng import generator

CACHE = Path(os.environ.get("ROBUSTDD_BENCH", Path(__file__).resolve().parent.parent / ".robustdd" / "bench"))
IMAGES = 5000
SNAPSHOTS = 5


@dataclass(frozen=True)
class Problem:
    """One distillation step: network, synthetic set, the student's batches, start and target."""

    network: ConvNet
    synthetic: SyntheticSet
    batches: list[StudentBatch]
    goal: Goal

    def to(self, dtype: torch.dtype) -> Problem:
        """The same in another floating type."""
        synthetic = SyntheticSet(*(value.to(dtype) for value in self.synthetic.tensors().values()))
        return Problem(
            self.network, synthetic, self.batches, Goal(self.goal.start.to(dtype), self.goal.target.to(dtype))
        )


@cache
def images() -> tuple[Tensor, Tensor, bool]:
    """The first training images of CIFAR-10, each channel standardised, their labels, and whether they are real.

    Without the data under ROBUSTDD_DATA (or what an earlier run kept of it): drawn at random, and the result says so.
    """
    kept = CACHE / "cifar10.safetensors"
    if not kept.exists() and os.environ.get("ROBUSTDD_DATA"):
        from robustdd.data.read import open_source
        from robustdd.params import Dataset

        found = open_source(Dataset("cifar10")).train()
        CACHE.mkdir(parents=True, exist_ok=True)
        save_file({"images": found.images[:IMAGES].clone(), "labels": found.labels[:IMAGES].clone()}, kept)
    if not kept.exists():
        stream = generator("bench images")
        labels = torch.randint(10, (IMAGES,), generator=stream)
        return torch.randn(IMAGES, 3, 32, 32, generator=stream), labels, False
    tensors = load_file(kept)
    pixels = tensors["images"].float() / 255
    mean, deviation = pixels.mean((0, 2, 3), keepdim=True), pixels.std((0, 2, 3), keepdim=True)
    return (pixels - mean) / deviation, tensors["labels"], True


def teacher(width: int) -> Tensor:
    """Snapshots [epochs + 1, P] of a short teacher of this width, trained once and kept."""
    real = "real" if images()[2] else "drawn"
    kept = CACHE / f"teacher-{width}-{real}.safetensors"
    if not kept.exists():
        pixels, labels, _ = images()
        network = ConvNet(3, (32, 32), 10, width, 3)
        state = Trained.fresh(network.initial(generator("bench teacher", width)))
        snapshots = [state.parameters]
        for epoch in range(SNAPSHOTS):
            order = generator("bench teacher", width, epoch)
            state, _ = train_epoch(network, state, pixels, labels, None, Optimizer("sgd", 0.02), 256, "none", order)
            snapshots.append(state.parameters)
        CACHE.mkdir(parents=True, exist_ok=True)
        save_file({"snapshots": torch.stack(snapshots)}, kept)
    return load_file(kept)["snapshots"]


def problem(width: int, batch: int, steps: int, device: str, augment: str = "none", rate: float = 0.01) -> Problem:
    """A student of `steps` steps on `batch` images with a teacher's logits, between two of that teacher's epochs."""
    network = ConvNet(3, (32, 32), 10, width, 3)
    snapshots, pixels = teacher(width).to(device), images()[0][:batch].to(device)
    labels = predict(network, snapshots[-1], pixels)
    stream = generator("bench batches")
    batches = [
        StudentBatch(torch.arange(batch, device=device), draw(augment, batch, (32, 32), stream)) for _ in range(steps)
    ]
    synthetic = SyntheticSet(pixels, labels, torch.tensor(rate, device=device))
    return Problem(network, synthetic, batches, Goal(snapshots[1], snapshots[3]))
