"""Distillation: a synthetic set is moved until training on it takes a student where the teachers went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.distillation.gradients import Gradients, trajectory_gradients
from robustdd.distillation.sampling import Iteration, draw_iteration, start_bound
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.distillation.update import State, advance, where
from robustdd.engine.settings import PLAIN
from robustdd.errors import Diverged, UserError
from robustdd.networks.training import Network
from robustdd.params import Engine, Recipe
from robustdd.progress import Listener, Progress, silence
from robustdd.store.checkpoints import Checkpoints
from robustdd.trajectories.files import Trajectories

TOLD_EVERY = 5


@dataclass(frozen=True, eq=False)
class Distilled:
    """What distillation leaves: the set after the last iteration, and how it came there."""

    synthetic: SyntheticSet
    saved: dict[int, SyntheticSet]
    """The set by number of iterations done, from 0, the initial set, to the last."""
    losses: Tensor
    """Loss of Eq. 13 in each iteration [iterations]."""
    rates: Tensor
    """Learned rate after each iteration [iterations]."""
    skipped: int
    """Iterations that updated nothing, because their loss was above the threshold."""


def distill(
    network: Network,
    initial: SyntheticSet,
    trajectories: Trajectories,
    recipe: Recipe,
    aux_share: float,
    seed: int,
    checkpoints: Checkpoints | None = None,
    progress: Listener = silence,
    engine: Engine = PLAIN,
) -> Distilled:
    """Minimise the trajectory-matching loss in the synthetic set, by DATM's schedule: Eq. 1.

    Runs on the device of `initial`, with a share `aux_share` for the clean targets of `trajectories`. An iteration
    whose loss is finite and above `recipe.threshold` updates nothing and is counted. The bits are the same in one go
    and resumed from `checkpoints`. Raises UserError when the trajectories lack an epoch that the recipe may draw;
    Diverged, before the step touches the set, when anything is not finite or the learned rate would not be positive.

    Reading: the anchors t_1..t_K of the paper are one random start epoch an iteration, as in DATM; and the threshold is
    compared with the combined loss.
    """
    if aux_share == 0:
        trajectories = trajectories.plain()
    _check(trajectories, recipe, aux_share)
    first, state = _begin(initial, recipe, checkpoints)
    for index in range(first, recipe.iterations):
        drawn = draw_iteration(recipe, trajectories.num_teachers, initial.images, seed, index)
        gradients = _gradients(network, state.synthetic, trajectories, recipe, aux_share, drawn, engine)
        state = advance(state, gradients, recipe, drawn)
        done = index + 1
        if checkpoints is not None and checkpoints.due(done, recipe.checkpoint_every):
            checkpoints.save(done, _pack(state), {"skipped": state.skipped}, _saved_sets(state))
        if done % TOLD_EVERY == 0 or done == recipe.iterations:
            progress(Progress(done, recipe.iterations, _figures(state, index), state.synthetic.tensors()))
    return Distilled(state.synthetic, state.saved, state.losses, state.rates, state.skipped)


def _check(trajectories: Trajectories, recipe: Recipe, aux_share: float) -> None:
    """Fail before hours of work, not after: every epoch that the recipe may draw must be there."""
    lowest, highest = (start_bound(recipe, index) for index in (0, recipe.iterations - 1))
    if recipe.min_start >= min(lowest, highest):
        raise UserError(
            f"recipe: min_start {recipe.min_start} must lie below first_max_start and max_start ({lowest}, {highest})"
        )
    trajectories.require(range(recipe.min_start, max(lowest, highest)), recipe.teacher_epochs, clean=aux_share > 0)


def _gradients(
    network: Network,
    synthetic: SyntheticSet,
    trajectories: Trajectories,
    recipe: Recipe,
    aux_share: float,
    drawn: Iteration,
    engine: Engine,
) -> Gradients:
    points = trajectories.triple(drawn.teacher, drawn.start_epoch, recipe.teacher_epochs)
    start, target = (point.to(synthetic.images) for point in points[:2])
    clean = None if points[2] is None else points[2].to(synthetic.images)
    try:
        goal = (start, target, clean, aux_share)
        return trajectory_gradients(network, synthetic, drawn.batches, *goal, recipe.backend, engine)
    except Diverged as error:
        raise Diverged(f"{where(drawn)}: {error}") from error


def _figures(state: State, index: int) -> dict[str, float]:
    return {"loss": float(state.losses[index]), "rate": float(state.rates[index]), "skipped": state.skipped}


def _begin(initial: SyntheticSet, recipe: Recipe, checkpoints: Checkpoints | None) -> tuple[int, State]:
    """Number of iterations already done, and the state after them."""
    curve = torch.full((recipe.iterations,), float("nan"), dtype=initial.images.dtype)
    found = None if checkpoints is None else checkpoints.latest()
    if found is None:
        initial = initial.clone()
        return 0, State(initial, initial.zeros(), {0: initial}, curve, curve.clone())
    return found.step, _unpack(found.tensors, int(str(found.facts["skipped"])), initial)


def _pack(state: State) -> dict[str, Tensor]:
    """Tensors of a checkpoint that the next one replaces; names are <group>.<tensor>."""
    groups = {"synthetic": state.synthetic, "velocity": state.velocity}
    return {**_named(groups), "losses": state.losses, "rates": state.rates}


def _saved_sets(state: State) -> dict[str, Tensor]:
    """Tensors of a checkpoint that last; the group of a saved set is its number of iterations."""
    return _named({str(done): one for done, one in state.saved.items()})


def _named(groups: Mapping[str, SyntheticSet]) -> dict[str, Tensor]:
    return {f"{group}.{name}": value for group, one in groups.items() for name, value in one.tensors().items()}


def _unpack(tensors: Mapping[str, Tensor], skipped: int, initial: SyntheticSet) -> State:
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        group, _, name = key.partition(".")
        if name:
            groups.setdefault(group, {})[name] = value.to(initial.images)
    sets = {group: SyntheticSet.from_tensors(one) for group, one in groups.items()}
    synthetic, velocity = sets.pop("synthetic"), sets.pop("velocity")
    saved = {done: sets[str(done)] for done in sorted(map(int, sets))}
    return State(synthetic, velocity, saved, tensors["losses"], tensors["rates"], skipped)
