from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.errors import UserError
from robustdd.networks.convnet import ConvNet
from robustdd.params import Neighbours
from robustdd.rng import generator
from robustdd.weighting import consistency as module
from robustdd.weighting.consistency import consistency
from tests.reference import consistency as reference

torch.set_num_threads(1)

NETWORK = ConvNet(2, (8, 8), 5, 8, 2)
BACKENDS = ["faiss", "torch"]


def case(seed: int, count: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    stream = generator("consistency", seed)
    images = torch.randn(count, 2, 8, 8, generator=stream)
    return NETWORK.initial(stream) * 3, images, torch.randint(5, (count,), generator=stream)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(4))
def test_weights_are_those_of_the_loops_over_pairs(backend: str, seed: int) -> None:
    parameters, images, observed = case(seed)
    features = NETWORK.features(parameters.double(), images.double())
    probabilities = NETWORK.classify(parameters.double(), features).softmax(1)
    near = reference.nearest(features.tolist(), 7)
    expected = reference.dynamic_weight(probabilities.tolist(), near, observed.tolist())
    found = consistency(
        NETWORK, parameters, images, observed, Neighbours(7, "faiss" if backend == "faiss" else "torch")
    )
    assert found.shape == (len(images),)
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), atol=1e-4, rtol=0)


@pytest.mark.parametrize("params", [Neighbours(5, "faiss"), Neighbours(5, "torch")], ids=BACKENDS)
@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 1000))
def test_reordered_samples_have_the_same_weights(params: Neighbours, seed: int) -> None:
    parameters, images, observed = case(seed)
    order = torch.randperm(len(images), generator=generator("order", seed))
    found = consistency(NETWORK, parameters, images, observed, params)
    moved = consistency(NETWORK, parameters, images[order], observed[order], params)
    torch.testing.assert_close(moved, found[order], atol=1e-5, rtol=0)


def test_batches_do_not_show_and_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters, images, observed = case(0)
    before = [tensor.clone() for tensor in (parameters, images, observed)]
    found = consistency(NETWORK, parameters.requires_grad_(), images, observed, Neighbours(5, "torch"))
    assert not found.requires_grad
    monkeypatch.setattr(module, "_BATCH", 7)
    chunked = consistency(NETWORK, parameters, images, observed, Neighbours(5, "torch"))
    torch.testing.assert_close(chunked, found, atol=1e-5, rtol=0)
    assert all(torch.equal(*pair) for pair in zip((parameters, images, observed), before, strict=True))


def test_weights_lie_in_0_and_1_and_favour_the_label_of_the_crowd() -> None:
    stream = generator("crowd")
    centres = torch.randn(5, 2, 8, 8, generator=stream) * 4
    labels = torch.arange(100) % 5
    images = centres[labels] + torch.randn(100, 2, 8, 8, generator=stream) * 0.1
    parameters = NETWORK.initial(stream) * 4
    predicted = NETWORK(parameters, images).argmax(1)
    right = consistency(NETWORK, parameters, images, predicted, Neighbours(10, "torch"))
    wrong = consistency(NETWORK, parameters, images, (predicted + 1) % 5, Neighbours(10, "torch"))
    assert bool(((right >= 0) & (right <= 1) & (wrong >= 0) & (wrong <= 1)).all())
    assert bool((right > wrong).all())


def test_too_few_samples_for_k_are_refused() -> None:
    parameters, images, observed = case(0, 20)
    with pytest.raises(UserError, match=r"expected 1\.\.19 for 20 images, got 20"):
        consistency(NETWORK, parameters, images, observed, Neighbours(20, "torch"))
