from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.errors import UserError
from robustdd.evaluation.label_errors import (
    Detection,
    SubsetQuality,
    detection_by_class,
    detection_scores,
    subset_quality,
)

torch.set_num_threads(1)

CASES = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30).filter(
    lambda rows: 0 < sum(clean for _, clean in rows) < len(rows)
)


@settings(deadline=None, max_examples=50)
@given(CASES)
def test_auroc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[int, bool]]) -> None:
    weight, clean = (torch.tensor(column) for column in zip(*rows, strict=True))
    right = [value for value, is_clean in rows if is_clean]
    wrong = [value for value, is_clean in rows if not is_clean]
    pairs = sum((low < high) + (low == high) / 2 for low in wrong for high in right) / (len(right) * len(wrong))
    assert detection_scores(weight, clean).auroc == pytest.approx(pairs)


@settings(deadline=None, max_examples=50)
@given(CASES)
def test_precision_counts_ties_by_their_mean(rows: list[tuple[int, bool]]) -> None:
    count = sum(not is_clean for _, is_clean in rows)
    expected = 0.0
    for value, _ in sorted(rows)[:count]:
        tied = [is_clean for other, is_clean in rows if other == value]
        expected += tied.count(False) / len(tied) / count
    weight, clean = (torch.tensor(column) for column in zip(*rows, strict=True))
    assert detection_scores(weight, clean).precision_at_noise_rate == pytest.approx(expected)


def test_a_perfect_and_a_reversed_ranking() -> None:
    weight, clean = torch.tensor([0.1, 0.2, 0.8, 0.9]), torch.tensor([False, False, True, True])
    assert detection_scores(weight, clean) == Detection(1.0, 1.0, 1.0)
    assert detection_scores(-weight, clean).auroc == 0.0
    assert detection_scores(-weight, clean).precision_at_noise_rate == 0.0


def test_average_precision_by_hand() -> None:
    weight, clean = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([False, True, False, True])
    assert detection_scores(weight, clean).average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert detection_scores(weight, clean).precision_at_noise_rate == 0.5


def test_a_constant_weight_tells_nothing() -> None:
    clean = torch.arange(10) >= 4
    assert detection_scores(torch.ones(10), clean) == Detection(0.5, pytest.approx(0.4), pytest.approx(0.4))


@pytest.mark.parametrize("clean", [True, False])
def test_with_one_kind_of_label_there_is_nothing_to_tell_apart(clean: bool) -> None:
    assert detection_scores(torch.rand(5), torch.full((5,), clean)) == Detection(None, None, None)


def test_what_does_not_fit_is_refused() -> None:
    clean = torch.tensor([True, False])
    with pytest.raises(UserError, match=r"expected \[n\] and \[n\], got \[3\] and \[2\]"):
        detection_scores(torch.rand(3), clean)
    with pytest.raises(UserError, match="finite"):
        detection_scores(torch.tensor([1.0, float("nan")]), clean)


def test_a_ranking_that_only_knows_the_class_scores_nothing_within_it() -> None:
    observed = torch.tensor([0] * 6 + [1] * 6 + [2] * 2)
    clean = torch.tensor([True] * 5 + [False] + [False] * 5 + [True] + [True, True])
    weight = torch.where(observed == 1, 0.2, 0.8)
    assert (detection_scores(weight, clean).auroc or 0) > 0.8
    first, second, third = detection_by_class(weight, clean, observed, 3)
    assert first.auroc == second.auroc == 0.5
    assert third == Detection(None, None, None)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_scores_by_class_are_those_of_the_class_alone(seed: int) -> None:
    made = torch.Generator().manual_seed(seed)
    weight, observed = torch.rand(60, generator=made), torch.randint(3, (60,), generator=made)
    clean = torch.rand(60, generator=made) < 0.6
    rows = (observed == 1).nonzero().flatten()
    assert detection_by_class(weight, clean, observed, 4)[1] == detection_scores(weight[rows], clean[rows])
    assert detection_by_class(weight, clean, observed, 4)[3] == Detection(None, None, None)


def test_the_subset_is_told_by_its_observed_classes() -> None:
    observed = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    clean = torch.tensor([True, True, False, True, True, False, False, False, True, True])
    chosen = torch.tensor([True, True, True, True, True, True, False, False, False, False])
    found = subset_quality(chosen, clean, observed, 3)
    assert found == SubsetQuality(
        size=6,
        purity=pytest.approx(4 / 6),
        whole_purity=pytest.approx(0.6),
        balance=0.0,
        whole_balance=0.5,
        class_sizes=(4, 2, 0),
        class_purities=(0.75, 0.5, None),
    )
    assert subset_quality(torch.zeros(10, dtype=torch.bool), clean, observed, 3).purity is None
    unknown = subset_quality(chosen, None, observed, 3)
    assert (unknown.purity, unknown.whole_purity, unknown.class_purities) == (None, None, (None,) * 3)
    assert (unknown.size, unknown.class_sizes, unknown.whole_balance) == (6, (4, 2, 0), 0.5)
    with pytest.raises(UserError, match=r"expected \[n\] and \[n\], got \[2\] and \[3\]"):
        detection_by_class(torch.rand(2), torch.tensor([True, False]), torch.tensor([0, 1, 1]), 2)
