"""Measuring how long the steps of training and distilling take on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import torch
from torch import Tensor

from robustdd.allocator import keep_freed_memory
from robustdd.devices import device_model
from robustdd.distillation.gradients import trajectory_gradients
from robustdd.distillation.student import StudentBatch
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.engine.compiling import can_compile
from robustdd.engine.settings import PLAIN
from robustdd.engine.train_step import differentiate_by
from robustdd.exactness import compute_exactly
from robustdd.networks.augment import draw
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained, predict, train_epoch
from robustdd.params import Engine, Neighbours, Strategy
from robustdd.rng import generator
from robustdd.study.throughput import Case, Measured, terms_of
from robustdd.study.work import Step, under
from robustdd.weighting.neighbours import nearest_neighbours

SMALL = ConvNet(1, (8, 8), 10, 32, 2)
NETWORKS = (SMALL, ConvNet(1, (8, 8), 10, 128, 2), ConvNet(3, (32, 32), 10, 32, 3), ConvNet(3, (32, 32), 10, 128, 3))
"""8 x 8 and 32 x 32 pixels, narrow and wide: the demo's network comes first, CIFAR's last."""
AUGMENT: Strategy = "color_crop_cutout_flip_scale_rotate"
COMPILED = Engine("on", "float32", "off", 0)
INNER_STEPS = 4
REPEATS = 3
LEAST_SECONDS = 0.2
"""A step is repeated for so long, and its median counts."""


def measure(device: torch.device, threads: int, networks: tuple[ConvNet, ...] = NETWORKS) -> Measured:
    """Time every kind of step on `device` as a stage of so many threads takes it, in a few minutes on a CPU.

    This process computes as a stage does from then on. Compiled steps are those of the last two networks, where there
    is a compiler: small ones are never worth it.
    """
    keep_freed_memory()
    compute_exactly(threads)
    cases = tuple(
        Case(step.kind, terms_of(step), _seconds(run, device) / steps) for step, steps, run in _steps(device, networks)
    )
    today = datetime.now(UTC).date().isoformat()
    counted = threads if device.type == "cpu" else 1
    return Measured(device_model(device), device.type, counted, torch.__version__, today, cases)


def _steps(device: torch.device, networks: tuple[ConvNet, ...]) -> Iterator[tuple[Step, int, Callable[[], object]]]:
    """A step, how many of it one call takes, and the call."""
    for network in networks:
        for batch in (10, 64):
            yield Step("gradient", network, batch), 1, _gradient(network, batch, device, PLAIN)
            yield Step("student", network, batch), INNER_STEPS, _student(network, batch, device, PLAIN)
        yield Step("predict", network, 256), 1, _predict(network, 256, device)
    for network, batch in product(networks[-2:], (10, 64, 256)) if can_compile(device.type) else ():
        step = Step(under(COMPILED, "gradient"), network, batch)
        yield step, 1, _gradient(network, batch, device, COMPILED)
        for engine in (COMPILED, replace(COMPILED, keep="on")):
            step = Step(under(engine, "student"), network, batch)
            yield step, INNER_STEPS, _student(network, batch, device, engine)
    for network, count in ((SMALL, 1400), (SMALL, 5000), (networks[-1], 1400)):
        yield Step("neighbours", network, count), 1, _neighbours(network, count, device)


def _images(network: ConvNet, count: int, device: torch.device) -> Tensor:
    shape = (count, network.channels, *network.image_size)
    return torch.randn(shape, generator=generator("measure", "images", count)).to(device)


def _labels(network: ConvNet, count: int, device: torch.device) -> Tensor:
    return (torch.arange(count) % network.classes).to(device)


def _parameters(network: ConvNet, device: torch.device) -> Tensor:
    return network.initial(generator("measure", "parameters")).to(device)


def _gradient(network: ConvNet, batch: int, device: torch.device, engine: Engine) -> Callable[[], object]:
    images, labels = _images(network, batch, device), _labels(network, batch, device)
    state, optimizer = Trained.fresh(_parameters(network, device)), Optimizer("sgd", 0.01)
    differentiate = differentiate_by(engine)

    def run() -> object:
        order = generator("measure", "order")
        return train_epoch(network, state, images, labels, None, optimizer, batch, AUGMENT, order, differentiate)

    return run


def _student(network: ConvNet, batch: int, device: torch.device, engine: Engine) -> Callable[[], object]:
    images = _images(network, batch, device)
    logits = torch.zeros(batch, network.classes, device=device)
    synthetic = SyntheticSet(images, logits, torch.tensor(0.01, device=device))
    start = _parameters(network, device)
    rows, words = torch.arange(batch, device=device), generator("measure", "words")
    batches = [StudentBatch(rows, draw(AUGMENT, batch, network.image_size, words)) for _ in range(INNER_STEPS)]

    def run() -> object:
        return trajectory_gradients(network, synthetic, batches, start, 1.01 * start + 0.01, engine=engine)

    return run


def _predict(network: ConvNet, batch: int, device: torch.device) -> Callable[[], object]:
    images, parameters = _images(network, batch, device), _parameters(network, device)
    return lambda: predict(network, parameters, images)


def _neighbours(network: ConvNet, count: int, device: torch.device) -> Callable[[], object]:
    features = torch.randn(count, network.num_features, generator=generator("measure", "features")).to(device)
    return lambda: nearest_neighbours(features, Neighbours().k, Neighbours().backend)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Median seconds of one step, after a first one that does not count.

    In one thread of a CPU the processor's seconds count, which other work on the machine disturbs less.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    run()
    found: list[float] = []
    while len(found) < REPEATS or sum(found) < LEAST_SECONDS:
        _wait(device)
        begun = clock()
        run()
        _wait(device)
        found.append(clock() - begun)
    return statistics.median(found)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
