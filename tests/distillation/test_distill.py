from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from robustdd.distillation import distill as module
from robustdd.distillation.distill import Distilled, distill
from robustdd.distillation.sampling import draw_iteration
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import Diverged, UserError
from robustdd.networks.convnet import ConvNet
from robustdd.params import Recipe
from robustdd.rng import generator
from robustdd.store.checkpoints import Checkpoints
from robustdd.trajectories.files import Trajectories
from tests.reference import matching as reference

NETWORK = ConvNet(channels=1, image_size=(8, 8), classes=3, width=4, depth=2)
RECIPE = Recipe(
    iterations=7,
    inner_steps=3,
    teacher_epochs=1,
    batch_size=4,
    initial_rate=0.05,
    image_step=5.0,
    label_step=1.0,
    rate_step=1e-5,
    first_max_start=1,
    max_start=3,
    expansion_iterations=4,
    threshold=2.0,
    save_every=3,
    checkpoint_every=2,
)


@dataclass
class Saved:
    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Memory:
    """Checkpoints in memory."""

    def __init__(self) -> None:
        self.saved: list[Saved] = []

    def latest(self) -> Saved | None:
        return self.saved[-1] if self.saved else None

    def due(self, step: int, every: int) -> bool:
        return step % every == 0

    def save(
        self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], lasting: Mapping[str, Tensor]
    ) -> None:
        copies = {name: value.clone().contiguous() for name, value in {**tensors, **lasting}.items()}
        self.saved.append(Saved(step, copies, dict(facts)))


@pytest.fixture
def trajectories(tmp_path) -> Trajectories:
    teachers, cleans = [], []
    for teacher in range(2):
        draws = generator("distill-test", teacher)
        moves = 0.03 * torch.randn(4, NETWORK.num_parameters, generator=draws)
        snapshots = torch.cat([NETWORK.initial(draws)[None], moves]).cumsum(0)
        teachers.append(tmp_path / f"teacher-{teacher}.safetensors")
        save_file({"snapshots": snapshots}, teachers[-1])
        cleans.append(tmp_path / f"clean-{teacher}.safetensors")
        targets = snapshots[1:4] + 0.01 * torch.randn(3, NETWORK.num_parameters, generator=draws)
        save_file({"targets": targets, "starts": torch.arange(3)}, cleans[-1])
    return Trajectories.from_files(teachers, cleans)


@pytest.fixture
def initial() -> SyntheticSet:
    draws = generator("distill-initial")
    return SyntheticSet(
        torch.randn(6, 1, 8, 8, generator=draws), torch.randn(6, 3, generator=draws), torch.tensor(0.05)
    )


def bits(distilled: Distilled) -> list[Tensor]:
    sets = [distilled.synthetic, *(distilled.saved[done] for done in sorted(distilled.saved))]
    return [value for one in sets for value in one.tensors().values()] + [distilled.losses, distilled.rates]


def same(one: Distilled, other: Distilled) -> bool:
    pairs = zip(bits(one), bits(other), strict=True)
    return (
        list(one.saved) == list(other.saved)
        and one.skipped == other.skipped
        and all(torch.equal(a, b) for a, b in pairs)
    )


@pytest.mark.parametrize("teacher_epochs", [1, 2])
def test_iterations_are_those_of_datm_written_out(trajectories, initial, teacher_epochs):
    """Eq. 1 by the oracle's gradient and momentum written out, in float64."""
    double = SyntheticSet(*(value.double() for value in initial.tensors().values()))
    found = distill(NETWORK, double, trajectories, replace(RECIPE, teacher_epochs=teacher_epochs), 0.25, seed=3)
    values = double.tensors()
    velocity = {name: torch.zeros_like(value) for name, value in values.items()}
    settings = {"images": (5.0, 0.5), "label_logits": (1.0, 0.9), "learning_rate": (1e-5, 0.5)}
    for index in range(RECIPE.iterations):
        drawn = draw_iteration(RECIPE, 2, double.images, 3, index)
        start, target, clean = (
            point.double()
            for point in trajectories.triple(drawn.teacher, drawn.start_epoch, teacher_epochs)
            if point is not None
        )
        leaves = {name: value.clone().requires_grad_() for name, value in values.items()}
        batches = [(batch.indices, batch.augmentation) for batch in drawn.batches]
        loss = reference.matching_loss(NETWORK, *leaves.values(), batches, start, [(0.75, target), (0.25, clean)])
        assert float(found.losses[index]) == pytest.approx(loss.item(), rel=1e-9)
        for name, gradient in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
            step, momentum = settings[name]
            velocity[name] = momentum * velocity[name] + gradient
            values[name] = values[name] - step * velocity[name]
    assert found.skipped == 0
    for name, value in found.synthetic.tensors().items():
        torch.testing.assert_close(value, values[name], rtol=1e-8, atol=1e-10)


def test_what_is_recorded(trajectories, initial):
    told = []
    before = [value.clone() for value in initial.tensors().values()]
    found = distill(NETWORK, initial, trajectories, RECIPE, 0.1, seed=0, progress=told.append)
    assert list(found.saved) == [0, 3, 6, 7]
    assert torch.equal(found.saved[0].images, initial.images)
    assert torch.equal(found.saved[7].images, found.synthetic.images)
    assert found.losses.shape == found.rates.shape == (7,)
    assert found.losses.isfinite().all()
    assert found.rates[-1] == found.synthetic.learning_rate
    assert [one.step for one in told] == [5, 7]
    assert told[-1].figures["loss"] == float(found.losses[-1])
    assert all(torch.equal(a, b) for a, b in zip(before, initial.tensors().values(), strict=True))


@pytest.mark.parametrize("kill_at", [1, 2, 3, 5, 7])
def test_a_resumed_run_has_the_same_bits(trajectories, initial, monkeypatch, kill_at):
    """The run is interrupted in iteration `kill_at` - 1, and once more in its second life."""
    whole = distill(NETWORK, initial, trajectories, RECIPE, 0.1, seed=0)
    memory, original, calls = Memory(), module.trajectory_gradients, []

    def killed(*args):
        calls.append(1)
        if len(calls) in (kill_at, kill_at + 1):
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, "trajectory_gradients", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            distill(NETWORK, initial, trajectories, RECIPE, 0.1, seed=0, checkpoints=memory)
    assert same(whole, distill(NETWORK, initial, trajectories, RECIPE, 0.1, seed=0, checkpoints=memory))
    assert [saved.step for saved in memory.saved] == [2, 4, 6]


@pytest.mark.parametrize("threshold", [2.0, 1e-3])
def test_checkpoints_on_disk_resume_to_the_same_bits(trajectories, initial, monkeypatch, tmp_path, threshold):
    recipe = replace(RECIPE, threshold=threshold)
    whole = distill(NETWORK, initial, trajectories, recipe, 0.1, seed=0)
    original, calls = module.trajectory_gradients, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, "trajectory_gradients", killed)
    with pytest.raises(KeyboardInterrupt):
        distill(NETWORK, initial, trajectories, recipe, 0.1, seed=0, checkpoints=Checkpoints(tmp_path / "kept", {}))
    found = distill(NETWORK, initial, trajectories, recipe, 0.1, seed=0, checkpoints=Checkpoints(tmp_path / "kept", {}))
    assert same(whole, found)
    assert len(calls) == 6 + 3


def test_without_a_share_it_is_datm_bit_for_bit(trajectories, initial):
    plain = distill(NETWORK, initial, trajectories.plain(), RECIPE, 0.0, seed=0)
    assert same(plain, distill(NETWORK, initial, trajectories, RECIPE, 0.0, seed=0))
    assert not same(plain, distill(NETWORK, initial, trajectories, RECIPE, 0.1, seed=0))


def test_every_method_sees_the_same_draws(trajectories, initial, monkeypatch):
    seen: list[tuple[int, int, list[int]]] = []

    def spy(*args):
        drawn = draw_iteration(*args)
        seen.append((drawn.teacher, drawn.start_epoch, torch.cat([batch.indices for batch in drawn.batches]).tolist()))
        return drawn

    monkeypatch.setattr(module, "draw_iteration", spy)
    distill(NETWORK, initial, trajectories, RECIPE, 0.1, seed=0)
    distill(NETWORK, initial, trajectories.plain(), RECIPE, 0.0, seed=0)
    assert seen[:7] == seen[7:]


def test_losses_above_the_threshold_update_nothing_and_are_counted(trajectories, initial):
    found = distill(NETWORK, initial, trajectories, replace(RECIPE, threshold=1e-3), 0.1, seed=0)
    assert found.skipped == 7
    assert torch.equal(found.synthetic.images, initial.images)
    losses = distill(NETWORK, initial, trajectories, RECIPE, 0.1, seed=0).losses
    middle = float(losses.sort().values[3])
    some = distill(NETWORK, initial, trajectories, replace(RECIPE, threshold=middle), 0.1, seed=0)
    assert some.skipped == int((some.losses > middle).sum()) > 0


@pytest.mark.parametrize("name", ["loss", "images", "label_logits", "learning_rate"])
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_what_is_not_finite_stops_before_the_step(trajectories, initial, monkeypatch, name, poison):
    original, calls = module.trajectory_gradients, []

    def poisoned(*args):
        calls.append(1)
        gradients = original(*args)
        return replace(gradients, **{name: getattr(gradients, name) * poison}) if len(calls) == 4 else gradients

    monkeypatch.setattr(module, "trajectory_gradients", poisoned)
    memory = Memory()
    with pytest.raises(
        Diverged, match=rf"^iteration 3, teacher \d, start epoch \d: {name} is not finite: lower [^\n]*$"
    ):
        distill(NETWORK, initial, trajectories, RECIPE, 0.1, seed=0, checkpoints=memory)
    assert [saved.step for saved in memory.saved] == [2]


def test_a_rate_that_would_not_be_positive_stops(trajectories, initial, monkeypatch):
    original = module.trajectory_gradients
    monkeypatch.setattr(
        module, "trajectory_gradients", lambda *args: replace(original(*args), learning_rate=torch.tensor(0.05))
    )
    with pytest.raises(
        Diverged, match=r"iteration 0, teacher \d, start epoch 0: the learned rate would be 0, expected > 0: lower"
    ):
        distill(NETWORK, initial, trajectories, replace(RECIPE, rate_step=1.0), 0.1, seed=0)


def test_an_update_that_overflows_stops(trajectories, initial):
    with pytest.raises(Diverged, match="images would not be finite after the update: lower its step"):
        distill(NETWORK, initial, trajectories, replace(RECIPE, image_step=1e45), 0.1, seed=0)


def test_recipes_that_ask_for_missing_epochs_fail_at_once(trajectories, initial):
    with pytest.raises(UserError, match="start epoch 4 with target epoch 5 is outside"):
        distill(NETWORK, initial, trajectories.plain(), replace(RECIPE, max_start=9), 0.0, seed=0)
    with pytest.raises(UserError, match="no clean target for start epoch 3"):
        distill(NETWORK, initial, trajectories, replace(RECIPE, max_start=4), 0.1, seed=0)
    with pytest.raises(UserError, match="give the finetune files"):
        distill(NETWORK, initial, trajectories.plain(), RECIPE, 0.1, seed=0)
    with pytest.raises(UserError, match="min_start 1 must lie below"):
        distill(NETWORK, initial, trajectories, replace(RECIPE, min_start=1), 0.1, seed=0)


def test_a_teacher_that_stands_still_is_named(tmp_path, initial):
    path = tmp_path / "still.safetensors"
    save_file({"snapshots": torch.ones(4, NETWORK.num_parameters)}, path)
    with pytest.raises(Diverged, match="iteration 0, teacher 0, start epoch 0: the target is equal to the start"):
        distill(NETWORK, initial, Trajectories.from_files([path]), RECIPE, 0.0, seed=0)
