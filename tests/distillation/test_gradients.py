from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.distillation import adjoint
from robustdd.distillation.gradients import Gradients, trajectory_gradients
from robustdd.distillation.student import AutogradStudent, StudentBatch
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.engine.second_order import Sweep
from robustdd.errors import Diverged, UserError
from robustdd.networks.augment import draw
from robustdd.networks.convnet import ConvNet
from robustdd.rng import generator
from tests.reference import matching as reference

STRATEGY = "color_crop_cutout_flip_scale_rotate"
NETWORK = ConvNet(channels=2, image_size=(8, 8), classes=3, width=4, depth=2)


def plain_network(parameters: Tensor, images: Tensor) -> Tensor:
    """The same network as a callable that is no ConvNet, for which only autograd can help."""
    return NETWORK(parameters, images)


class Case:
    """A small distillation in float64: synthetic set, batches, start and targets."""

    def __init__(
        self, seed: int = 0, steps: int = 4, batch_size: int = 3, augment: str = STRATEGY, rate: float = 0.05
    ) -> None:
        draws = generator("gradients", seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=draws, dtype=torch.float64)

        self.synthetic = SyntheticSet(normal(5, 2, 8, 8), normal(5, 3), torch.tensor(rate, dtype=torch.float64))
        self.start = NETWORK.initial(draws).double()
        self.start += 0.05 * normal(len(self.start))
        self.target, self.clean = (self.start + 0.05 * normal(len(self.start)) for _ in range(2))
        self.batches = [
            StudentBatch(
                torch.randperm(5, generator=draws)[:batch_size], draw(augment, min(batch_size, 5), (8, 8), draws)
            )
            for _ in range(steps)
        ]

    def gradients(self, backend: str = "adjoint", share: float = 0.3, network=NETWORK, clean: bool = True) -> Gradients:
        goal = (self.start, self.target, self.clean if clean else None, share)
        return trajectory_gradients(network, self.synthetic, self.batches, *goal, backend)

    def reference(self, share: float = 0.3, stop_gradient: bool = False) -> list[Tensor]:
        leaves = [value.clone().requires_grad_() for value in self.synthetic.tensors().values()]
        batches = [(batch.indices, batch.augmentation) for batch in self.batches]
        targets = [(1 - share, self.target), (share, self.clean)]
        loss = reference.matching_loss(NETWORK, *leaves, batches, self.start, targets, stop_gradient)
        return [loss.detach(), *torch.autograd.grad(loss, leaves)]


def values(gradients: Gradients) -> list[Tensor]:
    return [gradients.loss, gradients.images, gradients.label_logits, gradients.learning_rate]


def error(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    steps=st.integers(1, 6),
    batch_size=st.integers(1, 5),
    share=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    augment=st.sampled_from([STRATEGY, "none"]),
    network=st.sampled_from([NETWORK, plain_network]),
)
def test_adjoint_is_the_unrolled_gradient(seed, steps, batch_size, share, augment, network):
    case = Case(seed, steps, batch_size, augment)
    exact = values(case.gradients("unroll", share))
    assert error(values(case.gradients("adjoint", share, network)), exact) < 1e-10


@pytest.mark.parametrize("backend", ["adjoint", "unroll"])
def test_exact_backends_are_the_gradient_of_the_loop_in_the_paper(backend):
    case = Case(1)
    assert error(values(case.gradients(backend)), case.reference()) < 1e-10


@pytest.mark.parametrize("network", [NETWORK, plain_network])
def test_tesla_takes_the_points_of_the_way_for_constants(network):
    case = Case(2)
    expected = case.reference(stop_gradient=True)
    assert error(values(case.gradients("tesla", network=network)), expected) < 1e-10
    assert error(values(case.gradients("adjoint", network=network))[1:], expected[1:]) > 1e-3


def test_tesla_is_exact_for_one_step():
    case = Case(3, steps=1)
    assert error(values(case.gradients("tesla")), values(case.gradients("adjoint"))) < 1e-12


def test_dropping_the_hessian_would_be_noticed(monkeypatch):
    case = Case(4)
    exact = values(case.gradients("unroll"))

    class Forgetful(AutogradStudent):
        def sweep(self, *place: Tensor | None) -> Sweep:
            full = super().sweep(*place)
            return full._replace(parameters=torch.zeros_like(full.parameters))

    monkeypatch.setattr("robustdd.distillation.gradients.student_of", lambda network, engine: Forgetful(network))
    assert error(values(case.gradients("adjoint"))[1:], exact[1:]) > 1e-3


@pytest.mark.parametrize("backend", ["adjoint", "unroll", "tesla"])
def test_without_a_share_the_clean_target_changes_no_bit(backend):
    case = Case(5)
    plain = case.gradients(backend, share=0.3, clean=False)
    for other in (case.gradients(backend, share=0.0), case.gradients(backend, share=0.0, clean=False)):
        assert all(torch.equal(a, b) for a, b in zip(values(plain), values(other), strict=True))
        assert other.aux_loss is None


def test_losses_are_those_of_equation_13():
    found = Case(6).gradients(share=0.25)
    assert found.aux_loss is not None
    assert float(found.loss) == pytest.approx(0.75 * float(found.match_loss) + 0.25 * float(found.aux_loss), rel=1e-12)


def test_inputs_are_left_alone():
    case = Case(7)
    before = {name: value.clone() for name, value in case.synthetic.tensors().items()}
    start = case.start.clone()
    case.gradients()
    assert all(torch.equal(value, before[name]) for name, value in case.synthetic.tensors().items())
    assert torch.equal(case.start, start)


def test_memory_does_not_grow_with_the_steps(monkeypatch):
    """Only the points of the way are kept: going back, no augmented batch and no graph of an earlier step is alive."""
    alive: list[int] = []
    original = adjoint.walk

    def spy(*args):
        way = original(*args)
        alive.append(len(way.path))
        assert all(not point.requires_grad for point in way.path)
        assert way.kept == [None] * 6
        return way

    monkeypatch.setattr(adjoint, "walk", spy)
    Case(8, steps=6).gradients()
    assert alive == [7]


def test_float32_follows_float64():
    ratios = []
    for seed in range(5):
        case = Case(seed)
        exact = values(case.gradients())
        case.synthetic = SyntheticSet(*(value.float() for value in case.synthetic.tensors().values()))
        case.start, case.target, case.clean = (point.float() for point in (case.start, case.target, case.clean))
        ratios.append(error([value.double() for value in values(case.gradients())], exact))
    assert sorted(ratios)[2] < 1e-4


def test_a_standing_teacher_and_an_unknown_backend_are_refused():
    case = Case(9)
    with pytest.raises(UserError, match="backend 'magic'"):
        case.gradients("magic")
    case.clean = case.start
    with pytest.raises(Diverged, match="divides by 0"):
        case.gradients()
