"""What `auto` means in the engine settings: a pure function of params and the kind of device, so that keys hold it.

Whether a compiler is there is no part of it: without one `on` runs what `off` does, the log and the run record say so,
and last digits differ as they do on another machine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from robustdd.data.sizes import held_and_used
from robustdd.errors import UserError
from robustdd.params import Dataset, Engine, Network, Recipe, Study, Teachers

Switch = Literal["auto", "on", "off"]

PLAIN = Engine("off", "float32", "off", 0)
"""Nothing switched on."""

REPAYS = {"cpu": 1e13, "cuda": 3e15}
"""Floating-point operations of the convolutions of a run from which on `auto` compiles. On a CPU two to four minutes of
one core, of which compiled ones save more than compiling takes the first time; not measured on a GPU."""
KEPT_BYTES = {"cpu": 2**30, "cuda": 2**34}
"""What the activations of all steps of a student may take for `auto` to keep them."""

_SHAPES = {"digits": (1, 8, 8), "cifar10": (3, 32, 32), "cifar100": (3, 32, 32)}
_IMAGES = {"digits": 1797, "cifar10": 50_000, "cifar100": 50_000}
SWEEPS = 11
"""Passes over the convolutions that a student's step and the way back through it take."""


def distilling(study: Study, row: str, device: str) -> Engine:
    """Settings of a row's distillation on a kind of device."""
    asked = study.rows[row]
    dataset = _dataset_of(study, asked.view)
    return student_engine(study.engine, study.network, dataset, study.recipes[asked.recipe], device)


def training(study: Study, view: str, device: str) -> Engine:
    """Settings of a view's teachers, and of their clean targets, on a kind of device."""
    return teacher_engine(study.engine, study.network, _dataset_of(study, view), study.teachers, device)


def _dataset_of(study: Study, view: str) -> Dataset:
    return study.datasets[study.cells[study.views[view].cell].dataset]


def student_engine(engine: Engine, network: Network, dataset: Dataset, recipe: Recipe, device: str) -> Engine:
    """Settings of a distillation: `compile: auto` is on where the run repays it, `keep: auto` where that is so and the
    activations of all inner steps stay small; both off for images whose size params do not tell.

    Raises UserError for bfloat16 with a backend that has none.
    """
    if recipe.backend == "unroll":
        if engine.precision != "float32":
            raise UserError("engine.precision: bfloat16 needs backend adjoint or tesla, found unroll")
        return PLAIN
    images = recipe.iterations * recipe.inner_steps * recipe.batch_size
    compiled = _settled(engine.compile, _repays(SWEEPS * images * _forward_flops(network, dataset), device))
    kept = 4 * recipe.inner_steps * recipe.batch_size * _kept_values(network, dataset)
    small = compiled == "on" and 0 < kept <= KEPT_BYTES[device]
    return replace(engine, compile=compiled, keep=_settled(engine.keep, small))


def teacher_engine(engine: Engine, network: Network, dataset: Dataset, params: Teachers, device: str) -> Engine:
    """Settings of training a teacher or a clean target, which has no use for `keep` and `chunk`."""
    _, used = held_and_used(dataset, _IMAGES.get(dataset.kind, 0))
    images = params.epochs * used
    passes = 6 if params.optimizer == "gsam" else 3
    repays = _repays(passes * images * _forward_flops(network, dataset), device)
    return Engine(_settled(engine.compile, repays), engine.precision, "off", 0)


def _settled(asked: Switch, auto: bool) -> Switch:
    return ("on" if auto else "off") if asked == "auto" else asked


def _repays(flops: float, device: str) -> bool:
    return flops >= REPAYS[device]


def _shape(dataset: Dataset) -> tuple[int, int, int]:
    """Channels, height and width; zeros where only the files tell."""
    side = dataset.image_size or 0
    return _SHAPES.get(dataset.kind, (dataset.channels, side, side))


def _forward_flops(network: Network, dataset: Dataset) -> float:
    """Operations of the convolutions for one image."""
    channels, height, width = _shape(dataset)
    total = 0.0
    for _ in range(network.depth):
        total += 18 * channels * network.width * height * width
        channels, height, width = network.width, height // 2, width // 2
    return total


def _kept_values(network: Network, dataset: Dataset) -> int:
    """Numbers of one image that a step keeps: of every block but the first its planes, their gradients, its images."""
    _, height, width = _shape(dataset)
    total = 0
    for _ in range(network.depth - 1):
        height, width = height // 2, width // 2
        total += 3 * network.width * height * width
    return total
