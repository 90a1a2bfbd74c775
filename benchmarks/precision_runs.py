"""The runs of `benchmarks.precision`: teachers, distillations and evaluations, alike but for the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor

from robustdd.data.lazy_images import Images, whitened
from robustdd.data.read import read
from robustdd.data.split import draw_used
from robustdd.data.whitening import fit
from robustdd.distillation.distill import distill
from robustdd.distillation.initialisation import selected_start
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.engine.means import means_of
from robustdd.engine.settings import PLAIN
from robustdd.evaluation.evaluate import evaluate_synthetic
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import accuracy
from robustdd.noise.api import observe, realised_rate
from robustdd.params import Dataset, Engine, Evaluate, Neighbours, Network, Noise, Recipe, Teachers
from robustdd.rng import generator
from robustdd.store.disk import write_atomically
from robustdd.trajectories.files import Trajectories
from robustdd.trajectories.teachers import train_teacher

Setting = Literal["plain", "compiled", "bfloat16"]
"""Of the engine: float32 as written; float32 compiled, the convolutions in C++ where they fit; compiled bfloat16."""
SETTINGS: tuple[Setting, ...] = ("plain", "compiled", "bfloat16")
ARMS: dict[str, tuple[Setting, Setting]] = {
    "plain": ("plain", "plain"),
    "compiled distillation": ("plain", "compiled"),
    "compiled throughout": ("compiled", "compiled"),
    "bfloat16 distillation": ("plain", "bfloat16"),
    "bfloat16 throughout": ("bfloat16", "bfloat16"),
}
"""Setting of the teachers, and of the distillation that follows them; `throughout` is what params.yaml asks for."""
Run = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """What all runs share."""

    dataset: Dataset
    noise: Noise
    network: Network
    teachers: Teachers
    ipc: int
    recipe: Recipe
    evaluate: Evaluate
    seeds: tuple[int, ...]
    """Of the distillations."""
    compile: Literal["on", "off"]
    """Of every setting but `plain`."""

    def engine(self, setting: Setting) -> Engine:
        """What a setting stands for."""
        if setting == "plain":
            return PLAIN
        return Engine(self.compile, "bfloat16" if setting == "bfloat16" else "float32", "off", 0)


SIZES = Sizes(
    dataset=Dataset("cifar10", train_share=0.2),
    noise=Noise("symmetric", 0.4),
    network=Network(32, 3),
    teachers=Teachers(
        num_teachers=3, epochs=6, batch_size=128, learning_rate=0.05, optimizer="sgd", augment="crop_flip"
    ),
    ipc=10,
    recipe=Recipe(
        iterations=60,
        inner_steps=10,
        teacher_epochs=1,
        batch_size=50,
        initial_rate=0.05,
        first_max_start=5,
        max_start=5,
        expansion_iterations=0,
        save_every=60,
    ),
    evaluate=Evaluate(epochs=80, decay_epoch=50),
    seeds=(0, 1, 2, 3, 4),
    compile="on",
)
"""So small that one core is done within an hour, and of a width whose convolutions the C++ takes."""


@dataclass(frozen=True)
class Data:
    """Whitened images with observed labels, and the test images."""

    images: Images
    observed: Tensor
    test_images: Images
    test_labels: Tensor
    classes: int
    facts: Run
    """For the record: counts, the share of wrong labels, the arithmetic of every setting."""

    @classmethod
    def of(cls, sizes: Sizes, device: str) -> Data:
        """Read, made noisy and whitened as the stages do it."""
        found = read(sizes.dataset)
        assert found.test is not None
        kept = draw_used(len(found.train), sizes.dataset)
        clean, pixels = found.train.labels, found.train.images[kept]
        observed = observe(sizes.noise, clean, found.train.class_names, Path()).labels
        how = fit(pixels, sizes.dataset.whitening, sizes.dataset.zca_epsilon)
        rate = realised_rate(observed[kept], clean[kept])
        facts = {"images": len(pixels), "test_images": len(found.test), "realised_rate": rate}
        like = torch.empty(0, device=device)
        facts["arithmetic"] = {setting: means_of(sizes.engine(setting), like).arithmetic for setting in SETTINGS}
        train, test = (whitened(one, how, torch.device(device)) for one in (pixels, found.test.images))
        labels = observed[kept].to(device), found.test.labels.to(device)
        return cls(train, labels[0], test, labels[1], len(found.train.class_names), facts)


@dataclass(frozen=True)
class Bench:
    """The runs, and where their teachers lie."""

    sizes: Sizes
    data: Data
    folder: Path

    @property
    def network(self) -> ConvNet:
        """The ConvNet of teachers, students and evaluation."""
        _, channels, height, width = self.data.images.shape
        size = self.sizes.network
        return ConvNet(channels, (height, width), self.data.classes, size.width, size.depth)

    def run(self, case: Run) -> Run:
        """What a case of `cases` finds."""
        begun = time.monotonic()
        if case["part"] == "teacher":
            found = self.teacher(case["setting"], case["index"])
        elif case["part"] == "start":
            found = self.evaluated(self.start("plain", case["seed"]))
        else:
            found = self.distilled(*ARMS[case["arm"]], case["seed"])
        return {**found, "seconds": round(time.monotonic() - begun, 1)}

    def teacher(self, setting: Setting, index: int) -> Run:
        """Train a teacher, keep its snapshots and test where it ends."""
        data, params, weights = self.data, self.sizes.teachers, torch.ones(len(self.data.images))
        how = (weights, 0.0, True, params, Neighbours(), index)
        engine = self.sizes.engine(setting)
        teacher = train_teacher(self.network, data.images, data.observed, *how, engine=engine)
        write_atomically(self._file(setting, index), save({"snapshots": teacher.snapshots}))
        end = teacher.snapshots[-1].to(data.test_labels.device)
        tested = accuracy(self.network, end, data.test_images, data.test_labels)
        return {"accuracy": tested, "loss": teacher.losses[-1]}

    def trajectories(self, setting: Setting) -> Trajectories:
        """All teachers of a setting; those whose files are gone are trained again."""
        count = range(self.sizes.teachers.num_teachers)
        for index in count:
            if not self._file(setting, index).exists():
                self.teacher(setting, index)
        return Trajectories.from_files([self._file(setting, index) for index in count])

    def start(self, setting: Setting, seed: int) -> SyntheticSet:
        """The set before its first update: real images that the teachers of a setting get right."""
        data, finals = self.data, self.trajectories(setting).finals().to(self.data.observed.device)
        asked = (data.images, data.observed, self.sizes.ipc, generator("selection", seed))
        return selected_start(self.network, finals, *asked).begin(data.images, self.sizes.recipe.initial_rate)

    def distilled(self, teachers: Setting, students: Setting, seed: int) -> Run:
        """Distil one set and evaluate it."""
        begun = time.monotonic()
        start, trajectories = self.start(teachers, seed), self.trajectories(teachers)
        engine = self.sizes.engine(students)
        found = distill(self.network, start, trajectories, self.sizes.recipe, 0.0, seed, engine=engine)
        took = round(time.monotonic() - begun, 1)
        told = {"first_loss": float(found.losses[0]), "last_loss": float(found.losses[-1]), "skipped": found.skipped}
        return {**self.evaluated(found.synthetic), **told, "rate": float(found.rates[-1]), "distil_seconds": took}

    def evaluated(self, synthetic: SyntheticSet) -> Run:
        """Test accuracy of fresh networks, trained as written whatever made the set."""
        tests = (self.data.test_images, self.data.test_labels)
        asked, seeds = replace(self.sizes.evaluate, seeds=()), self.sizes.evaluate.seeds
        nets = [evaluate_synthetic(self.network, synthetic, *tests, asked, seed) for seed in seeds]
        return {"accuracy": [net.accuracy for net in nets]}

    def _file(self, setting: Setting, index: int) -> Path:
        return self.folder / f"{setting}-{index}.safetensors"


def cases(sizes: Sizes) -> Iterator[Run]:
    """Every run, pairs beside each other."""
    for index in range(sizes.teachers.num_teachers):
        yield from ({"part": "teacher", "setting": setting, "index": index} for setting in SETTINGS)
    for seed in sizes.seeds:
        yield {"part": "start", "seed": seed}
        yield from ({"part": "distil", "arm": arm, "seed": seed} for arm in ARMS)
