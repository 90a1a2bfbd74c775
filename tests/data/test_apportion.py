from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.data.apportion import apportion
from robustdd.rng import generator

torch.set_num_threads(1)

SHARES = st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 5000), SHARES, st.integers(0, 3))
def test_counts_are_whole_sum_up_and_lie_within_one_of_the_quota(total: int, shares: list[int], seed: int) -> None:
    counts = apportion(total, torch.tensor(shares), generator("apportion", seed))
    assert counts.dtype == torch.int64
    assert int(counts.sum()) == total
    for count, share in zip(counts.tolist(), shares, strict=True):
        assert abs(count - total * share / sum(shares)) < 1
        assert share or not count


def test_equal_remainders_are_not_served_by_position() -> None:
    served = {tuple(apportion(1, torch.ones(5), generator("tie", seed)).tolist()) for seed in range(60)}
    assert len(served) == 5


def test_larger_remainders_come_first() -> None:
    assert apportion(10, torch.tensor([0.57, 0.24, 0.19]), generator("a")).tolist() == [6, 2, 2]
