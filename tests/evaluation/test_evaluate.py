from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import Diverged
from robustdd.evaluation.evaluate import evaluate_synthetic, train_on_noisy
from robustdd.networks.augment import draw
from robustdd.networks.convnet import ConvNet
from robustdd.params import Evaluate, TrainFull
from robustdd.progress import Progress
from robustdd.rng import generator

torch.set_num_threads(1)

NETWORK = ConvNet(1, (4, 4), 3, 4, 1)
PARAMS = Evaluate(epochs=7, batch_size=4, decay_epoch=4)
FULL = TrainFull(epochs=5, batch_size=8, learning_rate=0.05, decay_epochs=(2, 3))


def synthetic(rate: float = 0.05) -> SyntheticSet:
    stream = generator("synthetic")
    images, labels = torch.randn(6, 1, 4, 4, generator=stream), torch.randn(6, 3, generator=stream)
    return SyntheticSet(images, labels, torch.tensor(rate))


def images_and_labels(name: str, count: int = 30) -> tuple[Tensor, Tensor]:
    stream = generator(name)
    images = torch.randn(count, 1, 4, 4, generator=stream)
    brighter = (images[..., :2].mean((1, 2, 3)) > images[..., 2:].mean((1, 2, 3))).long()
    return images, brighter


def share_right(parameters: Tensor, images: Tensor, labels: Tensor) -> float:
    return float((NETWORK(parameters, images).argmax(1) == labels).double().mean())


def test_follows_the_protocol_of_datm() -> None:
    """torch's own SGD, made anew with a tenth of the rate before epoch 4, on softmax labels."""
    test, labels = images_and_labels("test")
    leaf = NETWORK.initial(generator("evaluate", 2, "init")).requires_grad_()
    given = synthetic()
    optimizer = torch.optim.SGD([leaf], 0.05, momentum=0.9, weight_decay=5e-4)
    for epoch in range(7):
        if epoch == 4:
            optimizer = torch.optim.SGD([leaf], 0.005, momentum=0.9, weight_decay=5e-4)
        stream, total = generator("evaluate", 2, "epoch", epoch), 0.0
        for rows in torch.randperm(6, generator=stream).split(4):
            augmented = draw(PARAMS.augment, len(rows), (4, 4), stream)(given.images[rows])
            optimizer.zero_grad()
            loss = F.cross_entropy(NETWORK(leaf, augmented), given.label_logits[rows].softmax(1))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
    result = evaluate_synthetic(NETWORK, given, test, labels, PARAMS, 2, holdout=(test[:9], labels[:9]))
    assert result.loss == pytest.approx(total / 6, abs=1e-5)
    assert result.accuracy == share_right(leaf, test, labels)
    assert result.holdout_accuracy == share_right(leaf, test[:9], labels[:9])


def test_repeats_and_has_a_stream_for_each_seed() -> None:
    arguments = (NETWORK, synthetic(), *images_and_labels("test"), PARAMS)
    assert evaluate_synthetic(*arguments, 0) == evaluate_synthetic(*arguments, 0)
    assert evaluate_synthetic(*arguments, 0).loss != evaluate_synthetic(*arguments, 1).loss
    assert evaluate_synthetic(*arguments, 0).holdout_accuracy is None


def test_a_decay_after_the_end_never_comes() -> None:
    arguments = (NETWORK, synthetic(), *images_and_labels("test"))
    losses = {decay: evaluate_synthetic(*arguments, replace(PARAMS, decay_epoch=decay), 0).loss for decay in (4, 7, 99)}
    assert losses[7] == losses[99] != losses[4]


def test_good_images_teach() -> None:
    images, labels = images_and_labels("good", 60)
    good = SyntheticSet(images, 20 * F.one_hot(labels, 3).float(), torch.tensor(0.05))
    params = Evaluate(epochs=30, batch_size=16, decay_epoch=20, augment="none")
    assert evaluate_synthetic(NETWORK, good, *images_and_labels("test", 200), params, 0).accuracy > 0.75


@pytest.mark.parametrize("rate", [0.0, -0.01, float("nan"), float("inf")])
def test_a_rate_that_is_not_positive_is_refused(rate: float) -> None:
    with pytest.raises(Diverged, match=r"learned rate is .*expected a positive number"):
        evaluate_synthetic(NETWORK, synthetic(rate), *images_and_labels("test"), PARAMS, 0)


def test_divergence_names_the_seed_and_the_epoch() -> None:
    with pytest.raises(Diverged, match="evaluation seed 3, epoch 0"):
        evaluate_synthetic(NETWORK, synthetic(1e30), *images_and_labels("test"), PARAMS, 3)


def test_training_on_all_drops_the_rate_and_keeps_the_velocity() -> None:
    images, observed = images_and_labels("train")
    test, labels = images_and_labels("test")
    leaf = NETWORK.initial(generator("full", 2, "init")).requires_grad_()
    optimizer = torch.optim.SGD([leaf], 0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3])
    curve = []
    for epoch in range(5):
        stream = generator("full", 2, "epoch", epoch)
        for rows in torch.randperm(30, generator=stream).split(8):
            augmented = draw(FULL.augment, len(rows), (4, 4), stream)(images[rows])
            optimizer.zero_grad()
            F.cross_entropy(NETWORK(leaf, augmented), observed[rows]).backward()
            optimizer.step()
        schedule.step()
        curve.append(share_right(leaf, test, labels))
    result = train_on_noisy(NETWORK, images, observed, test, labels, FULL, 2)
    assert result.curve == tuple(curve)
    assert result.last == curve[-1]
    assert (result.best, result.best_epoch) == (max(curve), curve.index(max(curve)))


def test_training_on_all_tells_its_divergence() -> None:
    images, observed = images_and_labels("train")
    with pytest.raises(Diverged, match="seed 2, epoch 0"):
        train_on_noisy(NETWORK, images, observed, images, observed, replace(FULL, learning_rate=1e30), 2)


def test_progress_is_told_once_an_epoch() -> None:
    told: list[Progress] = []
    test = images_and_labels("test")
    evaluate_synthetic(NETWORK, synthetic(), *test, PARAMS, 0, told.append)
    train_on_noisy(NETWORK, *test, *test, FULL, 0, told.append)
    steps = [(one.step, one.total) for one in told]
    assert steps == [(epoch, 7) for epoch in range(1, 8)] + [(epoch, 5) for epoch in range(1, 6)]
