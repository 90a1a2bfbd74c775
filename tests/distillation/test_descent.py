"""One guarded step on the synthetic set."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from robustdd.distillation.gradients import Gradients
from robustdd.distillation.sampling import Iteration
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.distillation.update import State, advance
from robustdd.errors import Diverged
from robustdd.params import Recipe

RECIPE = Recipe(iterations=3, image_step=1.0, label_step=1.0, rate_step=0.1, threshold=1.0)
DRAWN = Iteration(0, 0, 0, ())


def state() -> State:
    start = SyntheticSet(torch.ones(2, 1, 2, 2), torch.zeros(2, 2), torch.tensor(0.5))
    curve = torch.full((3,), float("nan"))
    return State(start, start.zeros(), {0: start}, curve, curve.clone())


def gradients(loss: float, image: float) -> Gradients:
    value = torch.tensor(loss)
    return Gradients(torch.full((2, 1, 2, 2), image), torch.ones(2, 2), torch.tensor(0.1), value, value, None)


def test_a_loss_above_the_threshold_is_skipped_whatever_its_gradients_are() -> None:
    after = advance(state(), gradients(7.0, float("inf")), RECIPE, DRAWN)
    assert after.skipped == 1 and after.losses[0] == 7 and torch.equal(after.synthetic.images, torch.ones(2, 1, 2, 2))


def test_the_combined_loss_is_held_against_the_threshold() -> None:
    near, far = torch.tensor(0.5), torch.tensor(1.5)
    for total, match, skipped in ((far, near, 1), (near, far, 0)):
        one = replace(gradients(0.5, 1.0), loss=total, match_loss=match)
        assert advance(state(), one, RECIPE, DRAWN).skipped == skipped


def test_what_is_saved_after_skipped_iterations_has_memory_of_its_own() -> None:
    recipe, now = replace(RECIPE, save_every=1), state()
    for index in range(3):
        now = advance(now, gradients(7.0, 0.0), recipe, replace(DRAWN, index=index))
    assert sorted(now.saved) == [0, 1, 2, 3] and now.skipped == 3
    assert save({str(step): one.images for step, one in now.saved.items()}), "safetensors takes no shared memory"


def test_a_skipped_iteration_leaves_momentum_and_rate_as_they_were() -> None:
    once = advance(state(), gradients(0.5, 0.25), RECIPE, DRAWN)
    after = advance(once, gradients(7.0, 0.25), RECIPE, replace(DRAWN, index=1))
    for name, value in once.velocity.tensors().items():
        assert torch.equal(after.velocity.tensors()[name], value)
        assert bool((value != 0).all())
    assert after.rates[1] == once.synthetic.learning_rate == after.rates[0]


@pytest.mark.parametrize(("loss", "image"), [(float("nan"), 1.0), (float("inf"), 1.0), (0.5, float("nan"))])
def test_what_is_not_finite_stops_the_run(loss: float, image: float) -> None:
    with pytest.raises(Diverged, match="iteration 0, teacher 0, start epoch 0"):
        advance(state(), gradients(loss, image), RECIPE, DRAWN)


def test_a_step_with_momentum() -> None:
    once = advance(state(), gradients(0.5, 0.25), RECIPE, DRAWN)
    assert torch.equal(once.synthetic.images, torch.full((2, 1, 2, 2), 0.75))
    twice = advance(once, gradients(1.0, 0.25), RECIPE, DRAWN)  # a loss equal to the threshold is used
    assert torch.equal(twice.synthetic.images, torch.full((2, 1, 2, 2), 0.75 - 0.25 - 0.5 * 0.25))
    assert torch.allclose(twice.synthetic.label_logits, torch.full((2, 2), -1 - 1.9)) and twice.skipped == 0


def test_a_rate_that_would_not_be_positive_stops_the_run() -> None:
    one = gradients(0.5, 0.0)
    steep = Gradients(one.images, one.label_logits, torch.tensor(6.0), one.loss, one.match_loss, None)
    with pytest.raises(Diverged, match="rate"):
        advance(state(), steep, RECIPE, DRAWN)
