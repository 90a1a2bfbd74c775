from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robustdd.errors import UserError
from robustdd.evaluation.statistics import paired_difference, sampling_reach, summarise, summarise_seeds

shares = st.floats(0, 1, allow_subnormal=False)


def test_sd_has_n_minus_one_in_the_denominator():
    summary = summarise([0.90, 0.92, 0.94])
    assert summary.mean == pytest.approx(0.92)
    assert summary.sd == pytest.approx(0.02)
    assert summary.count == 3


def test_one_value_has_no_sd_and_none_is_refused():
    assert summarise([0.5]).sd is None
    with pytest.raises(UserError, match="at least one"):
        summarise([])


def test_evaluation_nets_are_averaged_before_seeds():
    # Seed means .80 and .90; pooling the five nets would give .84.
    summary = summarise_seeds({0: [0.80, 0.80, 0.80], 1: [0.85, 0.95]})
    assert summary.mean == pytest.approx(0.85)
    assert summary.sd == pytest.approx(math.sqrt(2 * 0.05**2))
    assert (summary.over, summary.seeds, summary.nets) == ("distillation seeds", 2, 5)


def test_with_one_seed_the_sd_is_said_to_be_over_evaluation_nets():
    summary = summarise_seeds({3: [0.8, 0.9]})
    assert (summary.over, summary.seeds, summary.nets) == ("evaluation nets", 1, 2)
    assert summary.sd == pytest.approx(math.sqrt(0.005))


def test_paired_interval_by_hand():
    # Differences .01, .02, .03: mean .02, sd .01, t(.975, 2) = 4.302653.
    found = paired_difference({0: [0.51], 1: [0.62], 2: [0.73]}, {0: [0.5], 1: [0.6], 2: [0.7]})
    reach = 4.302652729911275 * 0.01 / math.sqrt(3)
    assert found.degrees == 2
    assert found.interval == pytest.approx((0.02 - reach, 0.02 + reach))
    assert not found.shown


def test_an_interval_without_zero_is_shown_on_either_side():
    better = paired_difference({0: [0.9], 1: [0.91]}, {0: [0.5], 1: [0.51]})
    worse = paired_difference({0: [0.5], 1: [0.51]}, {0: [0.9], 1: [0.911]})
    assert better.shown and worse.shown
    assert worse.mean < 0


def test_one_pair_gives_no_interval_and_shows_nothing():
    found = paired_difference({0: [0.9, 0.92], 7: [0.1]}, {0: [0.5]})
    assert (found.pairs, found.degrees, found.interval, found.shown) == (1, 0, None, False)
    assert found.mean == pytest.approx(0.41)


def test_seeds_must_overlap():
    with pytest.raises(UserError, match="no common distillation seed"):
        paired_difference({0: [0.9]}, {1: [0.9]})


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(shares, shares), min_size=2, max_size=8))
def test_interval_agrees_with_scipy(pairs):
    ours, theirs = ({seed: [pair[side]] for seed, pair in enumerate(pairs)} for side in (0, 1))
    found = paired_difference(ours, theirs)
    differences = [a - b for a, b in pairs]
    spread = max(differences) - min(differences)
    assert found.mean == pytest.approx(sum(differences) / len(pairs), abs=1e-12)
    if spread > 1e-6:
        expected = stats.ttest_rel([a for a, _ in pairs], [b for _, b in pairs]).confidence_interval(0.95)
        assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-9)
    opposite = paired_difference(theirs, ours)
    assert opposite.shown == found.shown
    assert opposite.mean == pytest.approx(-found.mean, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_sampling_reach_is_half_of_wilsons_interval(images, share):
    right = round(share * images)
    interval = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
    assert sampling_reach(right / images, images) == pytest.approx((interval.high - interval.low) / 2, abs=1e-9)


def test_the_demo_test_set_cannot_tell_three_points():
    assert 100 * sampling_reach(0.90, 397) == pytest.approx(2.95, abs=0.05)
    assert sampling_reach(1.0, 397) > 0
    with pytest.raises(UserError, match="at least one"):
        sampling_reach(0.9, 0)
