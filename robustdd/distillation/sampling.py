"""What each outer iteration of distillation draws: teacher, start epoch, batches, augmentations.

Every draw has a stream named by the seed and its iteration, never by the method: rows of one seed see the same ones,
and a resumed run needs no generator state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.distillation.student import StudentBatch
from robustdd.networks.augment import draw
from robustdd.params import Recipe
from robustdd.rng import generator


@dataclass(frozen=True, eq=False)
class Iteration:
    """The draws of one outer iteration."""

    index: int
    teacher: int
    start_epoch: int
    batches: tuple[StudentBatch, ...]


def start_bound(recipe: Recipe, iteration: int) -> int:
    """Upper end, itself excluded, of the start epochs in an iteration: it grows linearly and then stays at `max_start`.

    Source: DATM (Guo et al. 2024), sequential generation.
    """
    if recipe.expansion_iterations == 0:
        return recipe.max_start
    growth = (recipe.max_start - recipe.first_max_start) * iteration // recipe.expansion_iterations
    return min(recipe.first_max_start + growth, recipe.max_start)


def draw_iteration(recipe: Recipe, num_teachers: int, images: Tensor, seed: int, index: int) -> Iteration:
    """Draws of iteration `index` for synthetic images [n, c, h, w] (only their shape and device matter).

    Teachers come in an order that is new in each full pass; a start epoch is uniform in min_start <= t < `start_bound`.
    """
    turn, place = divmod(index, num_teachers)
    order = torch.randperm(num_teachers, generator=generator("distill", seed, "teachers", turn))
    stream = generator("distill", seed, "start", index)
    start = int(torch.randint(recipe.min_start, start_bound(recipe, index), (), generator=stream))
    return Iteration(index, int(order[place]), start, tuple(_batches(recipe, images, seed, index)))


def _batches(recipe: Recipe, images: Tensor, seed: int, index: int) -> list[StudentBatch]:
    """Chunks of a permutation of all images, taken from its end; a new permutation when it is used up."""
    order, words = generator("distill", seed, "batches", index), generator("distill", seed, "augment", index)
    size = (images.shape[2], images.shape[3])
    chunks: list[Tensor] = []
    batches = []
    for _ in range(recipe.inner_steps):
        if not chunks:
            chunks = list(torch.split(torch.randperm(len(images), generator=order), recipe.batch_size))
        indices = chunks.pop()
        augmentation = draw(recipe.augment, len(indices), size, words)
        batches.append(StudentBatch(indices.to(images.device), augmentation))
    return batches
