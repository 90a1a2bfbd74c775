"""The peers of the weights, against loops and against cleanlab itself."""

from __future__ import annotations

import math

import pytest
import torch
from cleanlab.rank import get_label_quality_scores
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from robustdd.errors import UserError
from robustdd.evaluation.confident import confident_margin
from robustdd.evaluation.likelihood import observed_log_probability
from robustdd.evaluation.small_loss import small_loss
from robustdd.networks.convnet import ConvNet

torch.set_num_threads(1)


def drawn(seed: int, count: int = 60, classes: int = 4) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=made, dtype=torch.float64)
    observed = torch.cat((torch.arange(classes), torch.randint(classes, (count - classes,), generator=made)))
    return logits.softmax(1), observed


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_the_margin_is_the_confidence_above_that_of_the_class(seed: int) -> None:
    probabilities, observed = drawn(seed)
    confidence = probabilities.gather(1, observed[:, None]).squeeze(1)
    expected = []
    for row, label in enumerate(observed.tolist()):
        same = [float(confidence[other]) for other in range(len(observed)) if int(observed[other]) == label]
        expected.append(float(confidence[row]) - sum(same) / len(same))
    assert confident_margin(confidence, observed).tolist() == pytest.approx(expected)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_the_margin_ranks_as_cleanlab_does(seed: int) -> None:
    probabilities, observed = drawn(seed)
    theirs = get_label_quality_scores(
        observed.numpy(), probabilities.numpy(), method="self_confidence", adjust_pred_probs=True
    )
    ours = confident_margin(probabilities.gather(1, observed[:, None]).squeeze(1), observed)
    assert ours.argsort().tolist() == torch.from_numpy(theirs).argsort().tolist()


def test_a_class_that_nobody_observes_is_no_trouble() -> None:
    margin = confident_margin(torch.tensor([0.2, 0.6, 0.9]), torch.tensor([0, 0, 2]))
    assert margin.tolist() == pytest.approx([-0.2, 0.2, 0.0], abs=1e-7)
    with pytest.raises(UserError, match=r"expected \[n\] and \[n\], got \[2\] and \[1\]"):
        confident_margin(torch.rand(2), torch.zeros(1, dtype=torch.int64))


def test_the_log_probability_is_minus_the_cross_entropy() -> None:
    network = ConvNet(1, (8, 8), 3, 4, 2)
    made = torch.Generator().manual_seed(0)
    images, observed = torch.randn(10, 1, 8, 8, generator=made), torch.randint(3, (10,), generator=made)
    parameters = network.initial(made)
    expected = -F.cross_entropy(network(parameters, images), observed, reduction="none")
    found = observed_log_probability(network, parameters, images, observed)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


def test_small_loss_ranks_by_the_mean_loss_and_survives_large_ones() -> None:
    losses = torch.tensor([[0.1, 2.0, 200.0, 300.0], [0.3, 0.0, 180.0, 300.0]])
    trust = small_loss(-losses)
    assert trust[:2].tolist() == pytest.approx([math.exp(-0.2), math.exp(-1.0)])
    assert trust.argsort().tolist() == [3, 2, 1, 0] and bool((trust > 0).all())
