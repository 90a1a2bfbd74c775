from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.distillation import initialisation as selection
from robustdd.distillation.initialisation import random_start, selected_start
from robustdd.errors import UserError
from robustdd.networks.training import soft_cross_entropy
from robustdd.rng import generator
from tests.reference import selection as reference

CLASSES = 3


def table_network(parameters: Tensor, images: Tensor) -> Tensor:
    """A network that looks its logits up: an image is its own row number, parameters are a table [n, C]."""
    return parameters.view(-1, CLASSES)[images.flatten().long()]


def case(seed: int, count: int = 24, teachers: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    draws = generator("selection", seed)
    finals = torch.randn(teachers, count * CLASSES, generator=draws)
    observed = torch.arange(count) % CLASSES
    return finals, torch.arange(count).float().view(-1, 1, 1, 1), observed[torch.randperm(count, generator=draws)]


def orders(observed: Tensor, seed: int) -> list[list[int]]:
    draws = generator("order", seed)
    rows = [(observed == label).nonzero().flatten() for label in range(CLASSES)]
    return [row[torch.randperm(len(row), generator=draws)].tolist() for row in rows]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), ipc=st.integers(1, 8), teachers=st.integers(1, 4))
def test_selection_is_the_loop_over_teachers_and_images(seed, ipc, teachers):
    finals, images, observed = case(seed, teachers=teachers)
    chosen = selected_start(table_network, finals, images, observed, ipc, generator("order", seed))
    logits = finals.view(teachers, -1, CLASSES)
    predictions = logits.argmax(2).tolist()
    filled = 0
    for label, order in enumerate(orders(observed, seed)):
        rows = reference.predicted_rows(predictions, label, order, ipc)
        found = chosen.rows[label * ipc : (label + 1) * ipc].tolist()
        assert found[: len(rows)] == rows
        filled += ipc - len(rows)
        left = [row for row in order if row not in rows]
        likely = sorted(left, key=lambda row: -float(logits[:, row].softmax(1)[:, label].sum()))
        assert found[len(rows) :] == likely[: ipc - len(rows)]
    assert chosen.filled == filled


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_labels_are_the_mean_over_the_teachers_that_are_right(seed):
    finals, images, observed = case(seed)
    chosen = selected_start(table_network, finals, images, observed, 8, generator("order", seed))
    logits = finals.view(3, -1, CLASSES)
    for row, label in zip(chosen.rows.tolist(), chosen.label_logits, strict=True):
        expected = reference.mean_logits(logits, row, int(observed[row]))
        if expected is None:
            assert label.tolist() == [selection.SOFT_LOGIT * (c == observed[row]) for c in range(CLASSES)]
        else:
            assert label.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_chunks_do_not_change_the_choice(monkeypatch):
    finals, images, observed = case(1)
    whole = selected_start(table_network, finals, images, observed, 5, generator("order", 1))
    monkeypatch.setattr(selection, "BATCH", 2)
    parts = selected_start(table_network, finals, images, observed, 5, generator("order", 1))
    assert whole.rows.tolist() == parts.rows.tolist()
    assert torch.equal(whole.label_logits, parts.label_logits)


@pytest.mark.timeout(5)
def test_a_class_that_nobody_predicts_is_filled_and_counted():
    finals, images, observed = case(2)
    tables = finals.view(3, -1, CLASSES).clone()
    tables[:, :, 1] = -9
    chosen = selected_start(table_network, tables.flatten(1), images, observed, 4, generator("order", 2))
    assert chosen.filled >= 4
    assert observed[chosen.rows].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(set(chosen.rows.tolist())) == 12


def test_too_few_images_are_refused():
    finals, images, observed = case(3)
    with pytest.raises(UserError, match="class 0 has 8 images by observed label, expected at least ipc = 9"):
        selected_start(table_network, finals, images, observed, 9, generator("order", 3))
    with pytest.raises(UserError, match="class 0 has 8 images"):
        random_start(observed, CLASSES, 9, generator("order", 3), learnable=True)


def test_random_start_is_one_hot_and_seeded():
    observed = case(4)[2]
    first, again, other = (
        random_start(observed, CLASSES, 3, generator("order", seed), learnable=False) for seed in (0, 0, 1)
    )
    assert first.rows.tolist() == again.rows.tolist() != other.rows.tolist()
    assert observed[first.rows].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert torch.equal(first.label_logits.softmax(1), torch.eye(CLASSES).repeat_interleave(3, 0))


def label_slope(label_logits):
    """How fast a soft cross-entropy moves the most stubborn of the labels [n, C]."""
    leaf = label_logits.clone().requires_grad_()
    logits = torch.randn(label_logits.shape, generator=generator("student"))
    (slope,) = torch.autograd.grad(soft_cross_entropy(logits, leaf), leaf)
    return float(slope.abs().amax(1).min())


def test_labels_that_are_to_be_learned_can_learn():
    observed = case(4)[2]
    hard, soft = (
        random_start(observed, CLASSES, 3, generator("order", 0), learnable=learnable) for learnable in (False, True)
    )
    assert torch.equal(hard.rows, soft.rows)
    assert label_slope(hard.label_logits) == 0 < 1e-6 < label_slope(soft.label_logits)
    assert torch.equal(soft.label_logits.argmax(1), hard.label_logits.argmax(1))
    assert float(soft.label_logits.softmax(1).amax(1).min()) > 0.99


def test_a_filled_image_has_a_label_that_can_learn():
    finals, images, observed = case(3)
    wrong = (observed + 1) % CLASSES  # hardly any image is predicted as this
    chosen = selected_start(table_network, finals, images, wrong, 8, generator("order", 3))
    assert chosen.filled > 0
    assert label_slope(chosen.label_logits) > 1e-9


def test_begin_copies_the_images():
    observed = case(5)[2]
    images = torch.randn(24, 1, 2, 2, generator=generator("pixels"))
    chosen = random_start(observed, CLASSES, 2, generator("order", 5), learnable=False)
    begun = chosen.begin(images, 0.25)
    assert torch.equal(begun.images, images[chosen.rows])
    assert begun.learning_rate.item() == 0.25
    before = begun.images.clone()
    images.zero_()
    assert torch.equal(begun.images, before)
