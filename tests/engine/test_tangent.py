from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.distillation.gradients import student_of
from robustdd.distillation.student import AutogradStudent
from robustdd.engine import eager_conv as convolution
from robustdd.engine import eager_student as tangent
from robustdd.engine import microbatches as chunks
from robustdd.engine.eager_student import ConvNetStudent
from robustdd.networks.convnet import ConvNet
from robustdd.rng import generator

SMALL = ConvNet(channels=2, image_size=(8, 8), classes=3, width=4, depth=2)
SHAPES = [
    SMALL,
    ConvNet(channels=1, image_size=(4, 4), classes=2, width=3, depth=2),
    ConvNet(channels=3, image_size=(7, 9), classes=4, width=5, depth=2),
    ConvNet(channels=5, image_size=(9, 6), classes=3, width=2, depth=1),
    ConvNet(channels=1, image_size=(16, 16), classes=10, width=6, depth=3),
]


def inputs(network: ConvNet, seed: int, count: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draws = generator("tangent", seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws, dtype=torch.float64)

    parameters = network.initial(draws).double()
    parameters += 0.1 * normal(len(parameters))
    images = normal(count, network.channels, *network.image_size)
    return parameters, images, normal(count, network.classes), normal(len(parameters))


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def largest_error(network: ConvNet, values: tuple[Tensor, Tensor, Tensor, Tensor]) -> float:
    hand, auto = ConvNetStudent(network), AutogradStudent(network)
    pairs = list(zip(hand.sweep(*values), auto.sweep(*values), strict=True))
    pairs.append((hand.gradient(*values[:3])[0], auto.gradient(*values[:3])[0]))
    assert all(found.shape == expected.shape for found, expected in pairs)
    return max(error(found, expected) for found, expected in pairs)


@settings(deadline=None, max_examples=25)
@given(network=st.sampled_from(SHAPES), seed=st.integers(0, 10**6), count=st.integers(1, 5))
def test_by_hand_is_autograd(network, seed, count):
    assert largest_error(network, inputs(network, seed, count)) < 1e-10


@pytest.mark.parametrize("network", SHAPES)
def test_so_it_is_with_the_convolutions_of_the_library(network, monkeypatch):
    monkeypatch.setattr(convolution, "UNFOLDED_VALUES", 0)
    monkeypatch.setattr(convolution, "UNFOLDED_CHANNELS", 0)
    assert largest_error(network, inputs(network, 1)) < 1e-10


@pytest.mark.parametrize("parts", [1, 2])
def test_so_it_is_in_parts(parts, monkeypatch):
    monkeypatch.setitem(chunks.CHUNK_VALUES, "cpu", parts * 2 * 4 * 64)
    assert largest_error(SMALL, inputs(SMALL, 2, count=5)) < 1e-10


def test_a_forgotten_term_would_be_noticed(monkeypatch):
    original = tangent.block.backward_dual

    def without_drift(above, kept):
        return original(above, kept._replace(drift=torch.zeros_like(kept.drift)))

    monkeypatch.setattr(tangent.block, "backward_dual", without_drift)
    assert largest_error(SMALL, inputs(SMALL, 3)) > 1e-3


def test_the_gradient_of_a_bias_before_a_norm_is_zero():
    values = inputs(SMALL, 4)
    biases = SMALL.unflatten(ConvNetStudent(SMALL).gradient(*values[:3])[0])[1::4][:2]
    assert all(not bias.any() for bias in biases)


def test_inputs_are_left_alone_and_bits_repeat():
    values = inputs(SMALL, 5)
    before = [value.clone() for value in values]
    student = ConvNetStudent(SMALL)
    first, again = student.sweep(*values), student.sweep(*values)
    assert torch.equal(student.gradient(*values[:3])[0], student.gradient(*values[:3])[0])
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert all(torch.equal(value, old) for value, old in zip(values, before, strict=True))


def test_float32_follows_float64():
    errors = []
    for seed in range(7):
        values = inputs(SMALL, seed)
        exact = AutogradStudent(SMALL).sweep(*values)
        found = ConvNetStudent(SMALL).sweep(*(value.float() for value in values))
        errors.append(max(error(a.double(), b) for a, b in zip(found, exact, strict=True)))
    assert sorted(errors)[3] < 1e-4


def test_only_a_convnet_is_differentiated_by_hand():
    assert isinstance(student_of(SMALL), ConvNetStudent)
    assert isinstance(student_of(lambda parameters, images: SMALL(parameters, images)), AutogradStudent)
