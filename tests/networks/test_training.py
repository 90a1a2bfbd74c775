from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from robustdd.errors import UserError
from robustdd.networks.augment import draw
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import (
    Optimizer,
    Trained,
    accuracy,
    predict,
    soft_cross_entropy,
    step,
    train_epoch,
    weighted_cross_entropy,
)
from robustdd.params import Teachers
from robustdd.rng import generator
from tests.reference import training as reference

torch.set_num_threads(1)

NETWORK = ConvNet(1, (4, 4), 3, 4, 1)
DSA = "color_crop_cutout_flip_scale_rotate"
SGD = Optimizer("sgd", 0.05, 0.9, 5e-4)
GSAM = Optimizer("gsam", 0.05, 0.9, 5e-4, 0.1, 0.3)


def data(count: int = 23, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    stream = generator("training data")
    images = torch.randn(count, 1, 4, 4, generator=stream).to(dtype)
    return images, torch.randint(3, (count,), generator=stream), torch.rand(count, generator=stream).to(dtype)


def fresh(dtype: torch.dtype = torch.float32) -> Trained:
    return Trained.fresh(NETWORK.initial(generator("init")).to(dtype))


def same(first: Trained, second: Trained) -> bool:
    return torch.equal(first.parameters, second.parameters) and torch.equal(first.velocity, second.velocity)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(2, 6))
def test_losses_equal_the_reference(seed: int, count: int, classes: int) -> None:
    stream = generator("losses", seed)
    logits, label_logits = 4 * torch.randn(2, count, classes, generator=stream, dtype=torch.float64)
    labels, weights = torch.randint(classes, (count,), generator=stream), torch.rand(count, generator=stream).double()
    soft = reference.soft_cross_entropy(logits.tolist(), label_logits.tolist())
    hard = reference.weighted_cross_entropy(logits.tolist(), labels.tolist(), weights.tolist())
    assert float(soft_cross_entropy(logits, label_logits)) == pytest.approx(soft, abs=1e-12)
    assert float(weighted_cross_entropy(logits, labels, weights)) == pytest.approx(hard, abs=1e-12)
    assert float(weighted_cross_entropy(logits, label_logits, None)) == pytest.approx(soft, abs=1e-12)


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.9, 5e-4), (0.0, 0.1)])
def test_sgd_equals_torch_and_the_reference(momentum: float, decay: float) -> None:
    images, labels, _ = data(dtype=torch.float64)
    state = fresh(torch.float64)
    leaf = state.parameters.clone().requires_grad_()
    optimizer = torch.optim.SGD([leaf], 0.05, momentum=momentum, weight_decay=decay)
    weights, velocity = state.parameters.tolist(), [0.0] * len(state.parameters)
    for _ in range(4):
        state, loss = step(NETWORK, state, images, labels, None, Optimizer("sgd", 0.05, momentum, decay))
        optimizer.zero_grad()
        expected = F.cross_entropy(NETWORK(leaf, images), labels)
        expected.backward()
        weights, velocity = reference.sgd(weights, velocity, leaf.grad.tolist(), 0.05, momentum, decay)
        optimizer.step()
        assert loss == pytest.approx(expected.item(), abs=1e-12)
    torch.testing.assert_close(state.parameters, leaf.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(state.parameters, torch.tensor(weights, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", [SGD, GSAM])
def test_weights_of_one_give_the_bits_of_no_weights(optimizer: Optimizer) -> None:
    images, labels, _ = data()
    results = [
        train_epoch(NETWORK, fresh(), images, labels, weights, optimizer, 8, DSA, generator("epoch"))
        for weights in (None, torch.ones(len(labels)))
    ]
    assert same(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_soft_labels_of_huge_logits_are_hard_labels() -> None:
    images, labels, weights = data(dtype=torch.float64)
    logits = 1000 * F.one_hot(labels, 3).double()
    hard, soft = (step(NETWORK, fresh(torch.float64), images, kind, weights, SGD)[0] for kind in (labels, logits))
    torch.testing.assert_close(soft.parameters, hard.parameters, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", [SGD, GSAM])
def test_an_epoch_is_its_steps(optimizer: Optimizer) -> None:
    """A permutation, then for each batch one augmentation; the last batch is short and counts by its size."""
    images, labels, weights = data()
    stream = generator("epoch")
    expected, total = fresh(), 0.0
    for rows in torch.randperm(23, generator=stream).split(8):
        augmented = draw(DSA, len(rows), (4, 4), stream)(images[rows])
        expected, loss = step(NETWORK, expected, augmented, labels[rows], weights[rows], optimizer)
        total += loss * len(rows)
    state, mean = train_epoch(NETWORK, fresh(), images, labels, weights, optimizer, 8, DSA, generator("epoch"))
    assert same(state, expected)
    assert mean == pytest.approx(total / 23, rel=1e-12)


def test_both_passes_of_gsam_see_the_same_augmented_batch() -> None:
    images, labels, _ = data()
    seen: list[Tensor] = []

    def watching(parameters: Tensor, batch: Tensor) -> Tensor:
        seen.append(batch)
        return NETWORK(parameters, batch)

    train_epoch(watching, fresh(), images, labels, None, GSAM, 8, DSA, generator("epoch"))
    assert [len(batch) for batch in seen] == [8, 8, 8, 8, 7, 7]
    assert all(torch.equal(first, second) for first, second in zip(seen[::2], seen[1::2], strict=True))


def test_an_epoch_without_augmentation_shows_every_image_once_in_another_order() -> None:
    images, labels, _ = data()
    seen: list[Tensor] = []

    def watching(parameters: Tensor, batch: Tensor) -> Tensor:
        seen.append(batch)
        return NETWORK(parameters, batch)

    train_epoch(watching, fresh(), images, labels, None, SGD, 8, "none", generator("epoch"))
    shown = torch.cat(seen)
    assert not torch.equal(shown, images)
    assert sorted(shown.flatten(1).tolist()) == sorted(images.flatten(1).tolist())


def test_nothing_given_is_changed() -> None:
    images, labels, weights = data()
    state = fresh()
    given_tensors = (images, labels, weights, state.parameters, state.velocity)
    before = [tensor.clone() for tensor in given_tensors]
    after, _ = train_epoch(NETWORK, state, images, labels, weights, GSAM, 8, DSA, generator("epoch"))
    assert all(torch.equal(*pair) for pair in zip(before, given_tensors, strict=True))
    assert not torch.equal(after.parameters, state.parameters)
    assert not after.parameters.requires_grad


def test_no_images_is_a_mistake() -> None:
    images, labels, _ = data(0)
    with pytest.raises(UserError, match="no images"):
        train_epoch(NETWORK, fresh(), images, labels, None, SGD, 8, DSA, generator("epoch"))


def test_training_learns_what_can_be_learned() -> None:
    images, _, _ = data(200)
    labels = (images[..., :2].mean((1, 2, 3)) > images[..., 2:].mean((1, 2, 3))).long()
    state = fresh()
    before = accuracy(NETWORK, state.parameters, images, labels)
    for epoch in range(10):
        state, _ = train_epoch(NETWORK, state, images, labels, None, SGD, 16, "color", generator("epoch", epoch))
    assert accuracy(NETWORK, state.parameters, images, labels) > max(before, 0.8)


def test_predictions_do_not_depend_on_the_batch_and_carry_no_graph() -> None:
    images, labels, _ = data(dtype=torch.float64)
    parameters = fresh(torch.float64).parameters.requires_grad_()
    logits = predict(NETWORK, parameters, images, batch_size=7)
    torch.testing.assert_close(logits, NETWORK(parameters, images).detach(), rtol=0, atol=1e-12)
    assert not logits.requires_grad
    hits = sum(int(row.argmax()) == int(label) for row, label in zip(logits, labels, strict=True))
    assert accuracy(NETWORK, parameters, images, labels) == hits / 23


def test_teachers_say_all_of_their_optimizer() -> None:
    params = Teachers(learning_rate=0.1, momentum=0.2, weight_decay=0.3, rho=0.4, surrogate_share=0.5)
    assert Optimizer.of_teachers(params) == Optimizer("gsam", 0.1, 0.2, 0.3, 0.4, 0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_epoch_on_cuda_repeats_to_the_bit_and_comes_near_the_cpu() -> None:
    images, labels, weights = data(200)
    start = fresh()
    on_cpu, _ = train_epoch(NETWORK, start, images, labels, weights, GSAM, 16, DSA, generator("epoch"))
    there = [tensor.cuda() for tensor in (images, labels, weights)]
    with torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
        first, second = (
            train_epoch(NETWORK, Trained.fresh(start.parameters.cuda()), *there, GSAM, 16, DSA, generator("epoch"))[0]
            for _ in range(2)
        )
    assert same(first, second)
    torch.testing.assert_close(first.parameters.cpu(), on_cpu.parameters, rtol=0, atol=1e-3)
