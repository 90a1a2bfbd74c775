from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.errors import UserError
from robustdd.noise.api import corrupt, realised_rate, transition_matrix
from robustdd.params import Noise
from robustdd.rng import generator
from tests.reference import noise as reference

torch.set_num_threads(1)

RATES = st.floats(0, 0.95)
CLASSES = st.integers(2, 12)
SEEDS = st.integers(0, 1000)


def clean_labels(classes: int, seed: int, count: int = 400) -> Tensor:
    return torch.randint(classes, (count,), generator=generator("clean", seed))


def random_matrix(classes: int, seed: int) -> Tensor:
    matrix = torch.rand(classes, classes, dtype=torch.float64, generator=generator("matrix", seed))
    matrix[matrix < 0.3] = 0
    matrix += torch.eye(classes)
    return matrix / matrix.sum(1, keepdim=True)


@settings(deadline=None, max_examples=25)
@given(RATES, CLASSES)
def test_symmetric_noise_is_the_papers_formula(rate: float, classes: int) -> None:
    matrix = transition_matrix(Noise(kind="symmetric", rate=rate), classes)
    assert matrix.dtype == torch.float64
    torch.testing.assert_close(matrix, torch.tensor(reference.symmetric(rate, classes), dtype=torch.float64))
    torch.testing.assert_close(matrix.sum(1), torch.ones(classes, dtype=torch.float64))


@settings(deadline=None, max_examples=25)
@given(CLASSES, SEEDS)
def test_bernoulli_is_one_inverse_cdf_draw_a_sample_from_its_own_row(classes: int, seed: int) -> None:
    clean, matrix = clean_labels(classes, seed), random_matrix(classes, seed)
    observed = corrupt(clean, matrix, "bernoulli", generator("noise", seed))
    uniform = torch.rand(len(clean), dtype=torch.float64, generator=generator("noise", seed))
    rows = matrix.tolist()
    assert observed.tolist() == [
        reference.inverse_cdf(rows[label], draw) for label, draw in zip(clean.tolist(), uniform.tolist(), strict=True)
    ]


@settings(deadline=None, max_examples=25)
@given(RATES, RATES, CLASSES, SEEDS)
def test_a_higher_rate_with_the_same_seed_flips_all_that_the_lower_one_flips(
    one: float, other: float, classes: int, seed: int
) -> None:
    clean, rates = clean_labels(classes, seed), sorted((one, other))
    matrices = [transition_matrix(Noise(kind="symmetric", rate=rate), classes) for rate in rates]
    low, high = (corrupt(clean, matrix, "bernoulli", generator("noise", seed)) for matrix in matrices)
    assert not bool(((low != clean) & (high == clean)).any())


@settings(deadline=None, max_examples=25)
@given(RATES, CLASSES, SEEDS)
def test_exact_draws_meet_every_quota_within_one(rate: float, classes: int, seed: int) -> None:
    clean = clean_labels(classes, seed)
    matrix = transition_matrix(Noise(kind="symmetric", rate=rate), classes)
    observed = corrupt(clean, matrix, "exact", generator("noise", seed))
    table = torch.tensor(reference.counts(clean.tolist(), observed.tolist(), classes))
    quotas = clean.bincount(minlength=classes)[:, None] * matrix
    assert bool(((table - quotas).abs() < 1).all())
    assert abs(realised_rate(observed, clean) - rate) <= classes / len(clean)


def test_exact_draws_spread_the_flips_over_all_positions() -> None:
    matrix = transition_matrix(Noise(kind="symmetric", rate=0.4), 2)
    flipped = corrupt(torch.zeros(1000, dtype=torch.int64), matrix, "exact", generator("noise", 0))
    assert int(flipped.sum()) == 400
    assert 160 < int(flipped[:500].sum()) < 240


@settings(deadline=None, max_examples=25)
@given(CLASSES, SEEDS, st.sampled_from(["bernoulli", "exact"]))
def test_a_class_of_probability_zero_is_never_observed(classes: int, seed: int, draw: str) -> None:
    clean, matrix = clean_labels(classes, seed), random_matrix(classes, seed)
    before = clean.clone()
    observed = corrupt(clean, matrix, draw, generator("noise", seed))
    assert bool((matrix[clean, observed] > 0).all())
    assert torch.equal(clean, before)


@settings(deadline=None, max_examples=10)
@given(st.sampled_from(["bernoulli", "exact"]), SEEDS)
def test_flips_start_from_the_clean_label_so_none_cascades(draw: str, seed: int) -> None:
    cycle = torch.eye(4, dtype=torch.float64).roll(1, 1)
    clean = clean_labels(4, seed)
    assert torch.equal(corrupt(clean, cycle, draw, generator("noise", seed)), (clean + 1) % 4)


@pytest.mark.parametrize("draw", ["bernoulli", "exact"])
def test_the_realised_rate_is_that_of_the_params(draw: str) -> None:
    clean = torch.arange(50_000) % 10
    matrix = transition_matrix(Noise(kind="symmetric", rate=0.4), 10)
    observed = corrupt(clean, matrix, draw, generator("noise", 0))
    table = torch.tensor(reference.counts(clean.tolist(), observed.tolist(), 10)) / 5000
    five_deviations = 5 * (0.4 * 0.6 / 5000) ** 0.5
    assert bool(((table - matrix).abs() < five_deviations).all())
    if draw == "exact":
        assert realised_rate(observed, clean) == 0.4


@pytest.mark.parametrize("draw", ["bernoulli", "exact"])
def test_a_seed_gives_the_same_labels_and_another_seed_others(draw: str) -> None:
    clean = clean_labels(10, 0)
    matrix = transition_matrix(Noise(kind="symmetric", rate=0.4), 10)
    first = corrupt(clean, matrix, draw, generator("noise", 0))
    torch.manual_seed(1)
    assert torch.equal(corrupt(clean, matrix, draw, generator("noise", 0)), first)
    assert not torch.equal(corrupt(clean, matrix, draw, generator("noise", 1)), first)


def test_no_noise_changes_nothing() -> None:
    clean = clean_labels(7, 0)
    matrix = transition_matrix(Noise(kind="none"), 7)
    for draw in ("bernoulli", "exact"):
        assert torch.equal(corrupt(clean, matrix, draw, generator("noise", 0)), clean)


def test_a_given_matrix_is_taken_as_it_is() -> None:
    rows = ((0.9, 0.1, 0.0), (0.0, 1.0, 0.0), (0.25, 0.25, 0.5))
    assert transition_matrix(Noise(kind="matrix", matrix=rows), 3).tolist() == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("noise", "classes", "message"),
    [
        (Noise(kind="matrix"), 2, "expected 2 x 2, got 0 rows of no values"),
        (Noise(kind="matrix", matrix=((1.0, 0.0),)), 2, "expected 2 x 2, got 1 rows of 2 values"),
        (Noise(kind="matrix", matrix=((1.0, 0.0), (1.0,))), 2, "got 2 rows of 1 or 2 values"),
        (Noise(kind="matrix", matrix=((1.0, 0.0), (0.5, 0.4))), 2, "sum to 1, got sum 0.9 in row 1"),
        (Noise(kind="matrix", matrix=((1.5, -0.5), (0.0, 1.0))), 2, "in row 0"),
        (Noise(kind="matrix", matrix=((float("nan"), 0.0), (0.0, 1.0))), 2, "got sum nan in row 0"),
        (Noise(kind="symmetric", rate=0.2), 1, "at least 2 classes, got 1"),
        (Noise(kind="none", rate=0.2), 2, "rate 0.2: has no meaning for kind none"),
        (Noise(kind="symmetric", rate=0.2, matrix=((1.0,),)), 2, "matrix: has no meaning for kind symmetric"),
    ],
)
def test_noise_that_makes_no_sense_is_refused(noise: Noise, classes: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        transition_matrix(noise, classes)


@pytest.mark.parametrize(
    ("labels", "matrix", "draw", "message"),
    [
        (torch.tensor([0, 2]), torch.eye(2), "exact", "got 2 at position 1"),
        (torch.tensor([0.0, 1.0]), torch.eye(2), "exact", "expected int64"),
        (torch.tensor([0, 1]), torch.ones(2, 3) / 3, "exact", "expected a square matrix"),
        (torch.tensor([0, 1]), torch.ones(2, 2), "bernoulli", "sum to 1, got sum 2"),
        (torch.tensor([0, 1]), torch.eye(2), cast(Any, "often"), "expected bernoulli or exact, got 'often'"),
    ],
)
def test_a_draw_that_makes_no_sense_is_refused(labels: Tensor, matrix: Tensor, draw: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        corrupt(labels, matrix, draw, generator("noise", 0))


def test_the_realised_rate_needs_two_equal_lists() -> None:
    assert realised_rate(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2])) == 0.25
    for observed in (torch.tensor([0]), torch.tensor([], dtype=torch.int64)):
        with pytest.raises(UserError, match="equally long"):
            realised_rate(observed, torch.tensor([], dtype=torch.int64))
