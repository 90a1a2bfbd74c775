"""Whether the numbers of a study fit each other: start epochs, epochs that exist, neighbours, seeds, decays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustdd.data.sizes import held_and_used
from robustdd.params import MATCHED, Dataset, Recipe, Row, Study

CLASSES = {"digits": 10, "cifar10": 10, "cifar100": 100}
"""Classes of the data sets that are known before they are read."""
_DIGITS = 1797
_TRAINING = {"cifar10": 50_000, "cifar100": 50_000}


def number_problems(study: Study) -> Iterator[str]:
    """What is wrong, one line each; the ids of the study must be right already."""
    for rule in (_recipes, _finetune, _amounts, _seeds, _decays):
        yield from rule(study)


def _recipes(study: Study) -> Iterator[str]:
    for ident, recipe in study.recipes.items():
        if not recipe.min_start < recipe.first_max_start <= recipe.max_start:
            found = f"{recipe.min_start}, {recipe.first_max_start}, {recipe.max_start}"
            yield f"recipes.{ident}: expected min_start < first_max_start <= max_start, found {found}"
    for ident, row, recipe in _used(study, MATCHED):
        last, epochs = recipe.max_start - 1 + recipe.teacher_epochs, study.teachers.epochs
        if last > epochs:
            reach = f"max_start - 1 + teacher_epochs = {last}"
            yield f"recipes.{row.recipe}: row {ident!r} reads epoch {reach}, but teachers.epochs is {epochs}"


def _finetune(study: Study) -> Iterator[str]:
    first, last = study.finetune.first_start, study.finetune.last_start
    if first > last or last > study.teachers.epochs:
        yield f"finetune: expected first_start <= last_start <= teachers.epochs, found {first}, {last}"
    for ident, _, recipe in _used(study, ("ours",)):
        if first > recipe.min_start or last < recipe.max_start - 1:
            needed = f"{recipe.min_start}..{recipe.max_start - 1}"
            yield f"finetune: start epochs are {first}..{last}, but row {ident!r} draws {needed}; widen them"


def _used(study: Study, methods: Sequence[str]) -> Iterator[tuple[str, Row, Recipe]]:
    for ident, row in study.rows.items():
        if row.method in methods:
            yield ident, row, study.recipes[row.recipe]


def _amounts(study: Study) -> Iterator[str]:
    k = study.neighbours.k
    for ident, dataset in study.datasets.items():
        training = _training_images(dataset)
        if dataset.kind == "digits" and dataset.test_images >= _DIGITS:
            yield f"datasets.{ident}.test_images: expected fewer than {_DIGITS}, found {dataset.test_images}"
        elif training is not None and k >= training:
            yield f"neighbours.k: {k} neighbours need more than {k} training images, {ident!r} has {training}"


def _training_images(dataset: Dataset) -> int | None:
    """Images that are trained on; None where only the files tell."""
    images = _DIGITS - dataset.test_images if dataset.kind == "digits" else _TRAINING.get(dataset.kind)
    return None if images is None else held_and_used(dataset, images)[1]


def _seeds(study: Study) -> Iterator[str]:
    for name in ("forgetting", "train_full", "evaluate"):
        seeds: tuple[int, ...] = getattr(study, name).seeds
        if not seeds or len(set(seeds)) < len(seeds):
            yield f"{name}.seeds: expected different numbers, at least one, found {list(seeds)}"


def _decays(study: Study) -> Iterator[str]:
    epochs = study.evaluate.epochs
    if study.evaluate.decay_epoch >= epochs:
        yield f"evaluate.decay_epoch: expected less than the {epochs} epochs, found {study.evaluate.decay_epoch}"
    late = [epoch for epoch in study.train_full.decay_epochs if epoch >= study.train_full.epochs]
    if late:
        yield f"train_full.decay_epochs: expected less than the {study.train_full.epochs} epochs, found {late}"
