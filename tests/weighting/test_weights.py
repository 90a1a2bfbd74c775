from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.errors import UserError
from robustdd.rng import generator
from robustdd.weighting.weights import (
    blend,
    blend_maxima,
    blended_weight,
    dynamic_weight,
    jensen_shannon_to_one_hot,
    mean_one,
)
from tests.reference import consistency as reference

torch.set_num_threads(1)


def random_case(seed: int, count: int = 15, classes: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    stream = generator("weights", seed)
    logits = torch.randn(count, classes, generator=stream, dtype=torch.float64) * 5
    neighbours = torch.randint(count, (count, 6), generator=stream)
    return logits.softmax(1), neighbours, torch.randint(classes, (count,), generator=stream)


def test_golden_values_of_the_divergence() -> None:
    shares = torch.tensor([0.01, 0.1, 0.4, 0.8, 0.9], dtype=torch.float64)
    expected = torch.tensor([0.040, 0.242, 0.604, 0.892, 0.948], dtype=torch.float64)
    torch.testing.assert_close(1 - jensen_shannon_to_one_hot(shares), expected, atol=5e-4, rtol=0)
    assert jensen_shannon_to_one_hot(torch.tensor([0.0, 1.0])).tolist() == [1.0, 0.0]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=2, max_size=6).filter(lambda row: sum(row) > 0.01),
    st.integers(0, 5),
)
def test_the_closed_form_is_the_divergence(shares: list[float], label: int) -> None:
    row = [share / sum(shares) for share in shares]
    label %= len(row)
    one_hot = [float(index == label) for index in range(len(row))]
    found = float(jensen_shannon_to_one_hot(torch.tensor(row[label], dtype=torch.float64)))
    assert found == pytest.approx(reference.jensen_shannon(one_hot, row), abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_dynamic_weights_are_equation_4(seed: int) -> None:
    probabilities, neighbours, observed = random_case(seed)
    expected = reference.dynamic_weight(probabilities.tolist(), neighbours.tolist(), observed.tolist())
    found = dynamic_weight(probabilities, neighbours, observed)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0)
    single = dynamic_weight(probabilities.float(), neighbours, observed)
    torch.testing.assert_close(single, found.float(), atol=1e-5, rtol=0)
    assert bool(((single >= 0) & (single <= 1)).all())


def test_agreement_counts_1_and_contradiction_0() -> None:
    probabilities, neighbours = torch.eye(2), torch.tensor([[0], [0]])
    assert dynamic_weight(probabilities, neighbours, torch.tensor([0, 1])).tolist() == [1.0, 0.0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 200), st.floats(0.1, 100), st.floats(0, 1))
def test_the_blend_is_equation_8(epoch: int, warmup_epochs: float, maximum: float) -> None:
    assert blend(epoch, warmup_epochs, maximum) == pytest.approx(reference.blend(epoch, warmup_epochs, maximum))
    assert 0 <= blend(epoch, warmup_epochs, maximum) <= maximum


def test_the_blend_starts_at_0_and_stays_at_its_maximum() -> None:
    assert [blend(epoch, 4, 0.8) for epoch in range(7)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert blend(0, 20, 0.5) == 0.0
    assert blend(20, 20, 0.99) == 0.99
    assert blend(0, 0, 0.5) == 0.5


def test_blend_maxima_climb_the_ladder() -> None:
    assert blend_maxima(4, "paper") == (0.0, 0.25, 0.5, 0.75)
    assert blend_maxima(5, "inclusive") == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert blend_maxima(1, "paper") == blend_maxima(1, "inclusive") == (0.0,)
    with pytest.raises(UserError, match="expected paper or inclusive, got 'rope'"):
        blend_maxima(3, "rope")


@pytest.mark.parametrize(("teachers", "variance"), [(2, 0.0625), (5, 0.08), (10, 0.0825), (100, 0.083325)])
def test_golden_variance_of_the_maxima(teachers: int, variance: float) -> None:
    assert float(torch.tensor(blend_maxima(teachers, "paper")).double().var(correction=0)) == pytest.approx(variance)


def test_a_maximum_that_two_ladders_share_is_the_same_number() -> None:
    assert set(blend_maxima(5, "paper")) <= set(blend_maxima(10, "paper"))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0, 1))
def test_the_blended_weight_is_equation_7(seed: int, share: float) -> None:
    static, dynamic = torch.rand(2, 12, generator=generator("blend", seed), dtype=torch.float64)
    expected = reference.blended_weight(static.tolist(), dynamic.tolist(), share)
    torch.testing.assert_close(blended_weight(static, dynamic, share), torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(blended_weight(static, dynamic, 0.0), static)
    assert torch.equal(blended_weight(static, dynamic, 1.0), dynamic)


def test_mean_one_keeps_proportions_and_refuses_nothing_at_all() -> None:
    weights = torch.rand(50, generator=generator("mean"), dtype=torch.float64)
    found = mean_one(weights)
    assert float(found.mean()) == pytest.approx(1)
    torch.testing.assert_close(found / found[0], weights / weights[0])
    for nothing in (torch.zeros(5), torch.full((5,), float("nan"))):
        with pytest.raises(UserError, match="expected a positive mean"):
            mean_one(nothing)
