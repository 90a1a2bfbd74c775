from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.errors import UserError
from robustdd.rng import generator
from robustdd.weighting.forgetting import (
    forget_epochs,
    forgetting_score,
    halves,
    learn_epochs,
    separation_warning,
    static_weight,
)
from tests.reference import forgetting as reference

torch.set_num_threads(1)

MASKS = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("mask", "learned", "forgotten", "first_forgotten"), [([1, 0, 1, 0, 0], 6, 4, 2), ([0, 1, 0, 1, 1], 4, 6, 1)]
)
def test_golden_masks(mask: list[int], learned: int, forgotten: int, first_forgotten: int) -> None:
    correct = torch.tensor(mask).bool()[:, None]
    assert learn_epochs(correct, "forever").tolist() == [learned]
    assert forget_epochs(correct, "forever").tolist() == [forgotten]
    assert forget_epochs(correct, "first").tolist() == [first_forgotten]


@pytest.mark.parametrize("definition", ["forever", "first"])
def test_sentinels(definition: str) -> None:
    always_and_never = torch.tensor([[True, False]]).expand(5, 2)
    assert learn_epochs(always_and_never, definition).tolist() == [1, 6]
    assert forget_epochs(always_and_never, definition).tolist() == [6, 1]


@settings(deadline=None, max_examples=50)
@given(MASKS)
def test_epochs_are_those_of_the_loops(masks: list[list[bool]]) -> None:
    correct = torch.tensor(masks).T
    assert learn_epochs(correct, "forever").tolist() == [reference.learned_forever(mask) for mask in masks]
    assert forget_epochs(correct, "forever").tolist() == [reference.forgotten_forever(mask) for mask in masks]
    assert learn_epochs(correct, "first").tolist() == [reference.first(mask, True) for mask in masks]
    assert forget_epochs(correct, "first").tolist() == [reference.first(mask, False) for mask in masks]


EPOCHS = st.integers(1, 31)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(EPOCHS, EPOCHS), min_size=1, max_size=20), st.floats(0, 1))
def test_scores_are_equation_5_and_weights_its_complement(epochs: list[tuple[int, int]], share: float) -> None:
    learned, forgotten = torch.tensor(epochs).unbind(1)
    score = forgetting_score(learned, forgotten, share)
    expected = torch.tensor(reference.scores(learned.tolist(), forgotten.tolist(), share), dtype=torch.float64)
    torch.testing.assert_close(score, expected)
    torch.testing.assert_close(static_weight(score), 1 - expected)
    assert bool(((score >= 0) & (score <= 1)).all())


def test_the_ends_of_the_scale() -> None:
    score = forgetting_score(torch.tensor([1, 31]), torch.tensor([31, 1]), 0.5)
    torch.testing.assert_close(score, torch.tensor([0.5 / 31, 0.5 + 0.5 * (1 - 1 / 31)], dtype=torch.float64))


def test_score_is_equivariant_under_reordering() -> None:
    stream = generator("epochs")
    learned, forgotten = (torch.randint(1, 32, (50,), generator=stream) for _ in range(2))
    order = torch.randperm(50, generator=stream)
    assert torch.equal(
        forgetting_score(learned, forgotten, 0.3)[order], forgetting_score(learned[order], forgotten[order], 0.3)
    )


@pytest.mark.parametrize("empty", [torch.zeros(3), torch.zeros(0)])
def test_epochs_that_are_not_positive_have_no_score(empty: Tensor) -> None:
    with pytest.raises(UserError, match="learned epochs counted from 1, got 0"):
        forgetting_score(empty, torch.ones_like(empty), 0.5)
    with pytest.raises(UserError, match="forgotten epochs counted from 1, got 0"):
        forgetting_score(torch.ones(3), torch.zeros(3), 0.5)


def test_an_unknown_definition_is_refused() -> None:
    with pytest.raises(UserError, match="expected forever or first, got 'once'"):
        learn_epochs(torch.ones(2, 2).bool(), "once")


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 60), st.integers(0, 50))
def test_halves_cover_everything_once(count: int, seed: int) -> None:
    first, second = halves(count, seed)
    assert len(second) - len(first) in (0, 1)
    assert sorted(first.tolist() + second.tolist()) == list(range(count))
    for half in (first, second):
        assert half.tolist() == sorted(half.tolist())


def test_halves_depend_on_the_seed_and_need_two_images() -> None:
    assert torch.equal(halves(100, 0)[0], halves(100, 0)[0])
    assert not torch.equal(halves(100, 0)[0], halves(100, 1)[0])
    with pytest.raises(UserError, match="at least 2 images"):
        halves(1, 0)


@pytest.mark.parametrize(
    ("distinct", "right", "wrong", "said"),
    [
        (30, 0.95, 0.9, None),
        (30, 0.6, 0.3, None),
        (30, None, None, None),
        (30, 0.9, None, None),
        (30, 0.6, 0.12, "only 12% of the wrong labels were learnt on the first half, of the right ones 60%"),
        (30, 0.6, 0.0, "only 0% of the wrong labels"),
        (2, 0.95, 0.9, "2 distinct value"),
        (1, None, None, "rank nothing"),
    ],
)
def test_scores_that_cannot_separate_are_said_to(
    distinct: int, right: float | None, wrong: float | None, said: str | None
) -> None:
    found = separation_warning(distinct, right, wrong)
    if said is None:
        assert found is None
    else:
        assert found is not None and said in found and "raise forgetting.epochs" in found and "\n" not in found
