from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.distillation.sampling import draw_iteration, start_bound
from robustdd.params import Recipe

RECIPE = Recipe(
    inner_steps=7, batch_size=4, first_max_start=10, max_start=20, expansion_iterations=1000, augment="crop_flip"
)
IMAGES = torch.zeros(10, 1, 8, 8)


@pytest.mark.parametrize(
    ("iteration", "bound"), [(0, 10), (99, 10), (100, 11), (500, 15), (999, 19), (1000, 20), (9999, 20)]
)
def test_golden_bounds(iteration, bound):
    assert start_bound(RECIPE, iteration) == bound


def test_no_expansion_is_the_maximum_at_once():
    assert start_bound(replace(RECIPE, expansion_iterations=0), 0) == 20


def test_every_pass_takes_each_teacher_once_in_a_new_order():
    teachers = [draw_iteration(RECIPE, 5, IMAGES, 0, index).teacher for index in range(50)]
    passes = [tuple(teachers[first : first + 5]) for first in range(0, 50, 5)]
    assert all(sorted(one) == list(range(5)) for one in passes)
    assert len(set(passes)) > 5


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), index=st.integers(0, 3000), low=st.integers(0, 9))
def test_start_epochs_stay_inside_their_bounds(seed, index, low):
    recipe = replace(RECIPE, min_start=low)
    assert low <= draw_iteration(recipe, 3, IMAGES, seed, index).start_epoch < start_bound(recipe, index)


def test_every_start_epoch_inside_the_bounds_is_drawn():
    recipe = replace(RECIPE, min_start=3, first_max_start=6, max_start=6)
    assert {draw_iteration(recipe, 3, IMAGES, 0, index).start_epoch for index in range(60)} == {3, 4, 5}


def test_a_start_epoch_and_a_teacher_are_drawn_apart():
    """Were they one stream, each teacher would see its own few epochs only."""
    recipe = replace(RECIPE, first_max_start=3, max_start=3)
    drawn = [draw_iteration(recipe, 3, IMAGES, 0, index) for index in range(200)]
    assert {(one.teacher, one.start_epoch) for one in drawn} == {(a, b) for a in range(3) for b in range(3)}


def test_one_setting_moves_no_other_draw():
    first = draw_iteration(RECIPE, 3, IMAGES, 1, 5)
    fewer_steps = draw_iteration(replace(RECIPE, inner_steps=4), 3, IMAGES, 1, 5)
    more_teachers = draw_iteration(RECIPE, 9, IMAGES, 1, 5)
    later_start = draw_iteration(replace(RECIPE, min_start=9), 3, IMAGES, 1, 5)
    pixels = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for other, count in ((fewer_steps, 4), (more_teachers, 7), (later_start, 7)):
        assert len(other.batches) == count
        for ours, theirs in zip(first.batches[:count], other.batches, strict=True):
            assert torch.equal(ours.indices, theirs.indices)
            assert torch.equal(ours.augmentation(pixels[ours.indices]), theirs.augmentation(pixels[theirs.indices]))
    assert first.start_epoch == more_teachers.start_epoch == fewer_steps.start_epoch
    assert first.teacher == later_start.teacher


@pytest.mark.parametrize("other", [(2, 5), (1, 6)])
def test_another_seed_or_iteration_draws_everything_anew(other):
    seed, index = other
    recipe = replace(RECIPE, first_max_start=2**30, max_start=2**30)
    first, second = draw_iteration(recipe, 3, IMAGES, 1, 5), draw_iteration(recipe, 3, IMAGES, seed, index)
    assert first.start_epoch != second.start_epoch
    pairs = list(zip(first.batches, second.batches, strict=True))
    assert any(not torch.equal(one.indices, two.indices) for one, two in pairs)
    pixels = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    full = [(one, two) for one, two in pairs if len(one.indices) == 4]
    assert any(not torch.equal(one.augmentation(pixels), two.augmentation(pixels)) for one, two in full)


def test_another_seed_orders_the_teachers_otherwise():
    orders = [tuple(draw_iteration(RECIPE, 7, IMAGES, seed, index).teacher for index in range(7)) for seed in range(3)]
    assert len(set(orders)) == 3


def test_batches_are_chunks_of_permutations_from_the_end():
    batches = draw_iteration(RECIPE, 3, IMAGES, 1, 5).batches
    sizes = [len(batch.indices) for batch in batches]
    assert sizes == [2, 4, 4, 2, 4, 4, 2]
    for first in (0, 3):
        assert sorted(torch.cat([batch.indices for batch in batches[first : first + 3]]).tolist()) == list(range(10))


def test_draws_depend_on_seed_and_iteration_alone():
    first, again = (draw_iteration(RECIPE, 3, IMAGES, 1, 5) for _ in range(2))
    assert (first.teacher, first.start_epoch) == (again.teacher, again.start_epoch)
    pixels = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for one, other in zip(first.batches, again.batches, strict=True):
        assert torch.equal(one.indices, other.indices)
        assert torch.equal(one.augmentation(pixels[one.indices]), other.augmentation(pixels[other.indices]))
    changed = replace(RECIPE, image_step=1.0, backend="unroll", aux_share=0.7, augment="none")
    for one, other in zip(first.batches, draw_iteration(changed, 3, IMAGES, 1, 5).batches, strict=True):
        assert torch.equal(one.indices, other.indices)
    assert any(
        not torch.equal(one.indices, other.indices)
        for one, other in zip(first.batches, draw_iteration(RECIPE, 3, IMAGES, 2, 5).batches, strict=True)
    )
