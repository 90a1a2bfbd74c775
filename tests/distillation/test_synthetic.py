from __future__ import annotations

import pytest
import torch

from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import UserError

ONE = SyntheticSet(torch.ones(2, 1, 4, 4), torch.ones(2, 3), torch.tensor(0.1))


def test_tensors_there_and_back():
    back = SyntheticSet.from_tensors({**ONE.tensors(), "space": torch.zeros(1)})
    assert all(torch.equal(value, ONE.tensors()[name]) for name, value in back.tensors().items())


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"one rate, found shapes \[\(2, 1, 4, 4\), \(3, 3\), \(\)\]"):
        SyntheticSet(ONE.images, torch.ones(3, 3), ONE.learning_rate)
    with pytest.raises(UserError, match="one rate"):
        SyntheticSet(ONE.images, ONE.label_logits, torch.ones(1))
    with pytest.raises(UserError, match="'label_logits' is missing"):
        SyntheticSet.from_tensors({"images": ONE.images})


def test_zeros_have_the_same_shapes():
    assert {name: value.shape for name, value in ONE.zeros().tensors().items()} == {
        name: value.shape for name, value in ONE.tensors().items()
    }
    assert not any(value.any() for value in ONE.zeros().tensors().values())
