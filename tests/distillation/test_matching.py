from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.distillation.matching import Goal, combined_loss, normalised_distance, student_step
from robustdd.errors import Diverged
from robustdd.rng import generator
from tests.reference import matching as reference

VECTOR = st.lists(st.floats(-3, 3), min_size=5, max_size=5)


def vectors(seed: int, count: int = 4) -> list[torch.Tensor]:
    return list(torch.randn(count, 7, generator=generator("matching", seed), dtype=torch.float64))


def test_step_goes_against_the_gradient():
    step = student_step(torch.tensor([1.0, 2.0]), torch.tensor([4.0, -2.0]), torch.tensor(0.5))
    assert step.tolist() == [-1.0, 3.0]


@settings(deadline=None, max_examples=25)
@given(VECTOR, VECTOR, VECTOR.filter(lambda values: max(map(abs, values)) > 0.1))
def test_distance_is_equation_3(student, start, way):
    target = [begin + move for begin, move in zip(start, way, strict=True)]
    tensors = [torch.tensor(values, dtype=torch.float64) for values in (student, target, start)]
    expected = reference.distance(student, target, start)
    assert float(normalised_distance(*tensors)) == pytest.approx(expected, rel=1e-12)


def test_distance_is_one_at_the_start_and_zero_at_the_target():
    start, target, *_ = vectors(0)
    assert float(normalised_distance(start, target, start)) == 1
    assert float(normalised_distance(target, target, start)) == 0


def test_a_teacher_that_stands_still_is_refused():
    start, student, *_ = vectors(1)
    with pytest.raises(Diverged, match=r"divides by 0.*check"):
        normalised_distance(student, start.clone(), start)


def test_combination_is_equation_13():
    start, target, clean, student = vectors(2)
    losses = Goal(start, target, clean, 0.3).losses(student)
    match = reference.distance(student.tolist(), target.tolist(), start.tolist())
    aux = reference.distance(student.tolist(), clean.tolist(), start.tolist())
    assert float(losses.match) == pytest.approx(match, rel=1e-12)
    assert losses.aux is not None
    assert float(losses.aux) == pytest.approx(aux, rel=1e-12)
    assert float(losses.total) == pytest.approx(reference.total(match, aux, 0.3), rel=1e-12)
    assert float(combined_loss(losses.match, losses.aux, 0.0)) == float(losses.match)
    assert float(combined_loss(losses.match, losses.aux, 1.0)) == float(losses.aux)


@pytest.mark.parametrize(("with_clean", "share"), [(True, 0.0), (False, 0.3)])
def test_without_a_share_or_a_clean_target_there_is_no_auxiliary_loss(with_clean, share):
    start, target, clean, student = vectors(3)
    losses = Goal(start, target, clean if with_clean else None, share).losses(student)
    assert losses.aux is None
    assert losses.total is losses.match
