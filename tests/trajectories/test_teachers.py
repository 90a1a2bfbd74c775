from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustdd.errors import Diverged
from robustdd.networks.augment import draw
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained, train_epoch
from robustdd.params import Neighbours, Teachers
from robustdd.progress import Progress
from robustdd.rng import generator
from robustdd.store.checkpoints import Checkpoints
from robustdd.trajectories.teachers import Teacher, train_teacher
from robustdd.weighting.consistency import consistency
from robustdd.weighting.weights import blended_weight

torch.set_num_threads(1)

NETWORK = ConvNet(1, (4, 4), 3, 4, 1)
NEIGHBOURS = Neighbours(k=3, backend="torch")
SGD = Teachers(epochs=5, batch_size=8, learning_rate=0.05, momentum=0.5, optimizer="sgd", warmup_share=0.4, seed=3)
GSAM = replace(SGD, optimizer="gsam", rho=0.1)


@dataclass
class Memory:
    """Checkpoints that live in memory; `fail_after` makes the process die right after that step was saved."""

    fail_after: int | None = None
    saved: SimpleNamespace | None = None
    steps: list[int] = field(default_factory=list)

    def latest(self) -> SimpleNamespace | None:
        return self.saved

    def save(self, step: int, tensors: dict[str, Tensor], facts: dict[str, object], lasting: dict[str, Tensor]) -> None:
        copies = {name: tensor.clone() for name, tensor in {**tensors, **lasting}.items()}
        self.saved = SimpleNamespace(step=step, tensors=copies, facts=facts)
        self.steps.append(step)
        if step == self.fail_after:
            raise KeyboardInterrupt


def data(count: int = 21) -> tuple[Tensor, Tensor, Tensor]:
    stream = generator("teachers data")
    images = torch.randn(count, 1, 4, 4, generator=stream)
    return images, torch.randint(3, (count,), generator=stream), torch.rand(count, generator=stream).double()


def train(
    static: Tensor | None = None, maximum: float = 0.5, normalise: bool = True, params: Teachers = SGD, **kwargs: object
) -> Teacher:
    images, observed, weights = data()
    static = weights if static is None else static
    return train_teacher(NETWORK, images, observed, static, maximum, normalise, params, NEIGHBOURS, 1, **kwargs)


def same(first: Teacher, second: Teacher) -> bool:
    dynamic = (first.last_dynamic, second.last_dynamic)
    equal = dynamic[0] is dynamic[1] or (None not in dynamic and torch.equal(*dynamic))
    curves = (first.losses, first.blends) == (second.losses, second.blends)
    return torch.equal(first.snapshots, second.snapshots) and curves and equal


def test_plain_sgd_teachers_are_a_straightforward_loop_to_the_bit() -> None:
    images, observed, _ = data()
    leaf = NETWORK.initial(generator("teacher", 3, 1, "init")).requires_grad_()
    optimizer = torch.optim.SGD([leaf], 0.05, momentum=0.5)
    expected = [leaf.detach().clone()]
    for epoch in range(5):
        stream = generator("teacher", 3, 1, "epoch", epoch)
        for rows in torch.randperm(21, generator=stream).split(8):
            augmented = draw(SGD.augment, len(rows), (4, 4), stream)(images[rows])
            optimizer.zero_grad()
            F.cross_entropy(NETWORK(leaf, augmented), observed[rows]).backward()
            optimizer.step()
        expected.append(leaf.detach().clone())
    assert torch.equal(train(torch.ones(21), maximum=0.0).snapshots, torch.stack(expected))


@pytest.mark.parametrize("normalise", [True, False])
def test_plain_gsam_teachers_are_unweighted_epochs_to_the_bit(normalise: bool) -> None:
    images, observed, _ = data()
    state = Trained.fresh(NETWORK.initial(generator("teacher", 3, 1, "init")))
    expected, losses = [state.parameters], []
    for epoch in range(5):
        stream = generator("teacher", 3, 1, "epoch", epoch)
        optimizer = Optimizer.of_teachers(GSAM)
        state, loss = train_epoch(NETWORK, state, images, observed, None, optimizer, 8, GSAM.augment, stream)
        expected.append(state.parameters)
        losses.append(loss)
    teacher = train(torch.ones(21), maximum=0.0, normalise=normalise, params=GSAM)
    assert torch.equal(teacher.snapshots, torch.stack(expected))
    assert teacher.losses == tuple(losses)
    assert teacher.last_dynamic is None


@pytest.mark.parametrize("normalise", [True, False])
def test_every_epoch_is_trained_with_its_own_blend(normalise: bool) -> None:
    images, observed, static = data()
    teacher = train(normalise=normalise)
    assert teacher.blends == (0.0, 0.25, 0.5, 0.5, 0.5)
    state = Trained.fresh(teacher.snapshots[0])
    for epoch, share in enumerate(teacher.blends):
        dynamic = consistency(NETWORK, teacher.snapshots[epoch], images, observed, NEIGHBOURS)
        weights = blended_weight(static, dynamic.double(), share)
        weights = (weights / weights.mean() if normalise else weights).float()
        stream = generator("teacher", 3, 1, "epoch", epoch)
        arguments = (images, observed, weights, Optimizer.of_teachers(SGD), 8, SGD.augment, stream)
        state, loss = train_epoch(NETWORK, state, *arguments)
        torch.testing.assert_close(teacher.snapshots[epoch + 1], state.parameters, rtol=0, atol=1e-6)
        assert teacher.losses[epoch] == pytest.approx(loss, rel=1e-5)
    assert torch.equal(teacher.last_dynamic, dynamic)


def test_neighbours_are_not_looked_for_while_the_blend_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        "robustdd.trajectories.teachers.consistency", lambda *arguments: calls.append(1) or torch.ones(21)
    )
    train(maximum=0.0)
    assert not calls
    train(maximum=0.5)
    assert len(calls) == 4


def test_snapshots_are_whole_finite_and_differ() -> None:
    snapshots = train().snapshots
    assert snapshots.shape == (6, NETWORK.num_parameters)
    assert snapshots.dtype == torch.float32
    assert bool(snapshots.isfinite().all())
    assert all(not torch.equal(*pair) for pair in pairwise(snapshots))


@pytest.mark.parametrize("params", [SGD, GSAM])
@pytest.mark.parametrize("died_after", [1, 3, 5])
def test_a_resumed_run_gives_the_same_bits(params: Teachers, died_after: int) -> None:
    memory = Memory(fail_after=died_after)
    with pytest.raises(KeyboardInterrupt):
        train(params=params, checkpoints=memory)
    memory.fail_after = None
    assert same(train(params=params, checkpoints=memory), train(params=params))
    assert memory.steps == [1, 2, 3, 4, 5]


def test_a_resumed_run_without_dynamic_weights_has_none() -> None:
    memory = Memory(fail_after=5)
    with pytest.raises(KeyboardInterrupt):
        train(maximum=0.0, checkpoints=memory)
    memory.fail_after = None
    assert same(train(maximum=0.0, checkpoints=memory), train(maximum=0.0))


def test_what_was_saved_on_disk_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    train(params=replace(SGD, epochs=3, warmup_share=2 / 3), checkpoints=Checkpoints(tmp_path, {"key": "k"}))
    assert same(train(checkpoints=Checkpoints(tmp_path, {"key": "k"})), train())


def test_every_snapshot_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them every epoch would be gigabytes for a teacher of a hundred epochs."""
    written: list[str] = []
    original = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: written.append(path.name) or original(path, data))
    train(checkpoints=Checkpoints(tmp_path, {"key": "k"}))
    snapshots = [name for name in written if name.startswith("snapshot-")]
    assert len(snapshots) == len(set(snapshots)) == 6


def test_another_index_or_seed_is_another_teacher_and_the_same_is_the_same() -> None:
    images, observed, static = data()
    first = train_teacher(NETWORK, images, observed, static, 0.0, True, SGD, NEIGHBOURS, 0)
    assert not torch.equal(first.snapshots[0], train(maximum=0.0).snapshots[0])
    assert not torch.equal(train(params=replace(SGD, seed=4)).snapshots[0], train().snapshots[0])
    assert same(train(), train())


def test_the_blend_maximum_alone_leaves_the_start_and_the_first_epoch_as_they_are() -> None:
    first, second = train(maximum=0.25).snapshots, train(maximum=0.75).snapshots
    assert torch.equal(first[:2], second[:2])
    assert not torch.equal(first[2], second[2])


def test_progress_is_told_once_an_epoch() -> None:
    told: list[Progress] = []
    teacher = train(progress=told.append)
    assert [(one.step, one.total) for one in told] == [(epoch, 5) for epoch in range(1, 6)]
    assert tuple(one.figures["loss"] for one in told) == teacher.losses
    assert tuple(one.figures["blend"] for one in told) == teacher.blends


def test_a_teacher_that_diverges_is_named_with_its_epoch_and_saves_nothing() -> None:
    memory = Memory()
    with pytest.raises(Diverged, match=r"teacher 1, epoch 0: .* lower its learning rate"):
        train(params=replace(SGD, learning_rate=1e30), checkpoints=memory)
    assert memory.saved is None


def test_bad_pixels_are_told_before_they_reach_a_snapshot() -> None:
    images, observed, static = data()
    images[3, 0, 0, 0] = float("nan")
    with pytest.raises(Diverged, match="teacher 7, epoch 0"):
        train_teacher(NETWORK, images, observed, static, 0.0, True, SGD, NEIGHBOURS, 7)


def test_nothing_given_is_changed() -> None:
    images, observed, static = data()
    before = [tensor.clone() for tensor in (images, observed, static)]
    train_teacher(NETWORK, images, observed, static, 0.5, True, GSAM, NEIGHBOURS, 0)
    assert all(torch.equal(*pair) for pair in zip(before, (images, observed, static), strict=True))
