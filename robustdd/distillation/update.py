"""One guarded step of gradient descent on the synthetic set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from robustdd.distillation.gradients import Gradients
from robustdd.distillation.sampling import Iteration
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import Diverged
from robustdd.params import Recipe


@dataclass(frozen=True, eq=False)
class State:
    """Everything that the next iteration depends on, and what has been recorded so far, named as in `Distilled`."""

    synthetic: SyntheticSet
    velocity: SyntheticSet
    saved: dict[int, SyntheticSet]
    losses: Tensor
    rates: Tensor
    skipped: int = 0


def advance(state: State, gradients: Gradients, recipe: Recipe, drawn: Iteration) -> State:
    """The state after one iteration; labels, images and rate are updated, in this order, by steps with momentum.

    A finite loss above `recipe.threshold` updates nothing and is counted, whatever its gradients are. Raises Diverged
    when a loss, a gradient in use or a new value is not finite, or when the new rate is not positive.
    """
    _require_finite({name: value for name, value in vars(gradients).items() if name.endswith("loss")}, drawn)
    losses, rates = state.losses.clone(), state.rates.clone()
    losses[drawn.index] = gradients.loss
    synthetic, velocity, skipped = state.synthetic, state.velocity, state.skipped
    if gradients.loss > recipe.threshold:
        skipped += 1
    else:
        _require_finite(vars(gradients), drawn)
        steps = {
            "label_logits": (recipe.label_step, recipe.label_momentum),
            "images": (recipe.image_step, recipe.image_momentum),
            "learning_rate": (recipe.rate_step, recipe.rate_momentum),
        }
        velocities, values = velocity.tensors(), synthetic.tensors()
        for name, (step, momentum) in steps.items():
            velocities[name] = momentum * velocities[name] + getattr(gradients, name)
            values[name] = values[name] - step * velocities[name]
        synthetic, velocity = SyntheticSet.from_tensors(values), SyntheticSet.from_tensors(velocities)
        _require_usable(synthetic, drawn)
    rates[drawn.index] = synthetic.learning_rate
    done = drawn.index + 1
    keep = done % recipe.save_every == 0 or done == recipe.iterations
    # A copy: after skipped iterations two saved sets would be the same memory, and no file takes that.
    saved = {**state.saved, done: synthetic.clone()} if keep else state.saved
    return State(synthetic, velocity, saved, losses, rates, skipped)


def _require_finite(found: Mapping[str, Tensor | None], drawn: Iteration) -> None:
    for name, value in found.items():
        if value is not None and not value.isfinite().all():
            raise Diverged(f"{where(drawn)}: {name} is not finite: lower initial_rate or inner_steps")


def _require_usable(synthetic: SyntheticSet, drawn: Iteration) -> None:
    for name, value in synthetic.tensors().items():
        if not value.isfinite().all():
            raise Diverged(f"{where(drawn)}: {name} would not be finite after the update: lower its step in the recipe")
    if synthetic.learning_rate <= 0:
        raise Diverged(
            f"{where(drawn)}: the learned rate would be {float(synthetic.learning_rate):.3g}, expected > 0: "
            "lower rate_step or raise initial_rate"
        )


def where(drawn: Iteration) -> str:
    """The iteration in words, for a message."""
    return f"iteration {drawn.index}, teacher {drawn.teacher}, start epoch {drawn.start_epoch}"
