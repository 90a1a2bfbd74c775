from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.networks import sam as gsam
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained, step, weighted_cross_entropy
from robustdd.rng import generator
from tests.reference.gsam import gsam_gradient
from tests.reference.training import sgd

torch.set_num_threads(1)

NETWORK = ConvNet(2, (4, 4), 3, 3, 1)


def problem(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    stream = generator("gsam", seed)
    images = torch.randn(6, 2, 4, 4, generator=stream, dtype=torch.float64)
    labels = torch.randint(3, (6,), generator=stream)
    weights = torch.rand(6, generator=stream, dtype=torch.float64)
    return NETWORK.initial(stream).double(), images, labels, weights


def vectors(seed: int) -> Tensor:
    return torch.randn(2, 20, generator=generator("vectors", seed), dtype=torch.float64)


@pytest.mark.parametrize(("rho", "share"), [(0.01, 0.3), (2.0, 0.4), (0.5, 0.0)])
def test_steps_equal_the_reference(rho: float, share: float) -> None:
    parameters, images, labels, weights = problem()

    def gradient_at(values: list[float]) -> list[float]:
        leaf = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        loss = weighted_cross_entropy(NETWORK(leaf, images), labels, weights)
        return torch.autograd.grad(loss, leaf)[0].tolist()

    optimizer = Optimizer("gsam", 0.1, 0.9, 0.01, rho, share)
    state = Trained.fresh(parameters)
    expected, velocity = parameters.tolist(), [0.0] * len(parameters)
    for _ in range(3):
        state, _ = step(NETWORK, state, images, labels, weights, optimizer)
        expected, velocity = sgd(expected, velocity, gsam_gradient(gradient_at, expected, rho, share), 0.1, 0.9, 0.01)
    torch.testing.assert_close(state.parameters, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)
    torch.testing.assert_close(state.velocity, torch.tensor(velocity, dtype=torch.float64), rtol=0, atol=1e-10)


def test_radius_zero_is_sgd_to_the_bit_in_one_pass() -> None:
    parameters, images, labels, weights = problem()
    passes = []

    def counting(vector: Tensor, batch: Tensor) -> Tensor:
        passes.append(batch)
        return NETWORK(vector, batch)

    after, loss = step(
        counting, Trained.fresh(parameters), images, labels, weights, Optimizer("gsam", 0.1, 0.9, 0.01, 0.0, 0.3)
    )
    expected, expected_loss = step(
        NETWORK, Trained.fresh(parameters), images, labels, weights, Optimizer("sgd", 0.1, 0.9, 0.01)
    )
    assert len(passes) == 1
    assert loss == expected_loss
    assert torch.equal(after.parameters, expected.parameters)
    assert torch.equal(after.velocity, expected.velocity)


def test_a_small_radius_comes_near_sgd() -> None:
    parameters, images, labels, _ = problem()
    near, far = (
        step(NETWORK, Trained.fresh(parameters), images, labels, None, Optimizer("gsam", 0.1, rho=rho))[0].parameters
        for rho in (1e-7, 1.0)
    )
    plain = step(NETWORK, Trained.fresh(parameters), images, labels, None, Optimizer("sgd", 0.1))[0].parameters
    torch.testing.assert_close(near, plain, rtol=0, atol=1e-7)
    assert float((far - plain).abs().max()) > 1e-4


def test_the_loss_told_is_the_one_before_the_step() -> None:
    parameters, images, labels, weights = problem()
    optimizer = Optimizer("gsam", 0.1, rho=1.0, surrogate_share=0.3)
    _, loss = step(NETWORK, Trained.fresh(parameters), images, labels, weights, optimizer)
    assert loss == float(weighted_cross_entropy(NETWORK(parameters, images), labels, weights))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.001, 5))
def test_the_perturbation_has_the_radius_asked_for(seed: int, rho: float) -> None:
    parameters, gradient = vectors(seed)
    ascent = gsam.perturbation(parameters, gradient, rho)
    torch.testing.assert_close((ascent / parameters).norm(), torch.tensor(rho, dtype=torch.float64))
    # first order: the loss rises by radius times the norm of the gradient in the metric of the sizes
    torch.testing.assert_close(ascent.dot(gradient), rho * (parameters * gradient).norm())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 2))
def test_the_surrogate_gradient_moves_orthogonally_to_the_perturbed_one(seed: int, share: float) -> None:
    gradient, perturbed = vectors(seed)
    change = gsam.surrogate_gradient(gradient, perturbed, share) - perturbed
    assert abs(float(change.dot(perturbed))) < 1e-8
    torch.testing.assert_close(
        change.dot(gradient),
        -share * (gradient.dot(gradient) - gradient.dot(perturbed) ** 2 / perturbed.dot(perturbed)),
    )


def test_zero_gradients_give_finite_numbers() -> None:
    zero = torch.zeros(5, dtype=torch.float64)
    assert torch.equal(gsam.perturbation(torch.ones(5, dtype=torch.float64), zero, 0.1), zero)
    assert torch.equal(gsam.surrogate_gradient(zero, zero, 0.3), zero)
