from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.errors import UserError
from robustdd.params import Subset
from robustdd.rng import generator
from robustdd.weighting.reliability import confidence_variance, mean_confidence, reliable_subset
from tests.reference import reliability as reference

torch.set_num_threads(1)


def values(seed: int, count: int = 30) -> tuple[Tensor, Tensor, list[str]]:
    """Few distinct values, so that ties abound."""
    stream = generator("reliability", seed)
    static, variance = (torch.randint(6, (count,), generator=stream).double() / 5 for _ in range(2))
    return static, variance, [f"id-{row}" for row in range(count)]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_mean_and_variance_are_equations_9_and_11(seed: int, teachers: int) -> None:
    weights = torch.rand(teachers, 9, generator=generator("teachers", seed), dtype=torch.float64)
    expected = [reference.mean(weights.tolist()), reference.variance(weights.tolist())]
    torch.testing.assert_close(mean_confidence(weights), torch.tensor(expected[0], dtype=torch.float64))
    torch.testing.assert_close(confidence_variance(weights), torch.tensor(expected[1], dtype=torch.float64))


@pytest.mark.parametrize("teachers", [1, 3, 7, 100])
def test_teachers_who_agree_have_no_variance_at_all(teachers: int) -> None:
    weights = torch.rand(500, generator=generator("agree"), dtype=torch.float64).expand(teachers, 500)
    assert confidence_variance(weights).count_nonzero() == 0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 30), st.integers(0, 3))
def test_the_subset_is_that_of_the_sorted_ranks(seed: int, size: int, tie_seed: int) -> None:
    static, variance, ids = values(seed)
    chosen = reliable_subset(static, variance, ids, Subset(ratio=size / 30, tie_seed=tie_seed))
    assert chosen.dtype == torch.bool
    expected = reference.subset(static.tolist(), variance.tolist(), ids, size, tie_seed)
    assert {ids[row] for row in chosen.nonzero().flatten().tolist()} == expected


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.05, 1), st.floats(0.05, 1))
def test_a_smaller_ratio_lies_inside_a_larger_one(seed: int, one: float, other: float) -> None:
    static, variance, ids = values(seed)
    small = reliable_subset(static, variance, ids, Subset(ratio=min(one, other)))
    large = reliable_subset(static, variance, ids, Subset(ratio=max(one, other)))
    assert not bool((small & ~large).any())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(["rank", "threshold"]))
def test_the_order_of_the_samples_does_not_matter(seed: int, rule: str) -> None:
    static, variance, ids = values(seed)
    params = Subset("rank" if rule == "rank" else "threshold", min_static_weight=0.4, max_variance=0.8)
    order = torch.randperm(len(ids), generator=generator("order", seed))
    moved = reliable_subset(static[order], variance[order], [ids[row] for row in order.tolist()], params)
    assert torch.equal(moved, reliable_subset(static, variance, ids, params)[order])


@pytest.mark.parametrize(("ratio", "size"), [(0.29, 29), (0.57, 57), (0.6, 60), (0.555, 55), (1.0, 100), (0.01, 1)])
def test_the_size_is_the_ratio_as_it_is_written(ratio: float, size: int) -> None:
    static, variance, ids = values(0, 100)
    assert int(reliable_subset(static, variance, ids, Subset(ratio=ratio)).sum()) == size


def test_both_criteria_have_to_be_met() -> None:
    static = torch.tensor([1.0, 0.9, 0.8, 0.1])
    variance = torch.tensor([0.9, 0.1, 0.2, 0.0])
    chosen = reliable_subset(static, variance, list("abcd"), Subset(ratio=0.5))
    assert chosen.tolist() == [False, True, True, False]


def test_ties_are_broken_by_the_seeded_hash_of_the_id_and_not_by_position() -> None:
    ids = [f"id-{row}" for row in range(200)]
    same = torch.ones(200)
    chosen = reliable_subset(same, same, ids, Subset(ratio=0.5))
    assert 30 < int(chosen[:100].sum()) < 70
    assert not torch.equal(reliable_subset(same, same, ids, Subset(ratio=0.5, tie_seed=1)), chosen)
    backwards = reliable_subset(same, same, ids[::-1], Subset(ratio=0.5))
    assert torch.equal(backwards.flip(0), chosen)


def test_absolute_thresholds_are_both_inclusive() -> None:
    static, variance = torch.tensor([0.5, 0.5, 0.4, 0.9]), torch.tensor([0.1, 0.2, 0.0, 0.1])
    params = Subset("threshold", min_static_weight=0.5, max_variance=0.1)
    assert reliable_subset(static, variance, list("abcd"), params).tolist() == [True, False, False, True]
    with pytest.raises(UserError, match=r"no sample has a static weight >= 0\.95"):
        reliable_subset(static, variance, list("abcd"), replace(params, min_static_weight=0.95))


def test_what_cannot_give_a_subset_is_refused() -> None:
    static, variance, ids = values(0, 4)
    with pytest.raises(UserError, match=r"ratio 0\.2 of 4 samples is none"):
        reliable_subset(static, variance, ids, Subset(ratio=0.2))
    with pytest.raises(UserError, match=r"expected 3 values an id, got \[4\] and \[4\]"):
        reliable_subset(static, variance, ids[:3], Subset())
    with pytest.raises(UserError, match="expected finite"):
        reliable_subset(static / 0, variance, ids, Subset())
