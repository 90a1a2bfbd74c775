from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from robustdd.data.read import read
from robustdd.data.whitening import fit
from robustdd.evaluation.label_errors import detection_scores
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained
from robustdd.noise.api import corrupt, transition_matrix
from robustdd.params import Dataset, Forgetting, Noise
from robustdd.progress import Progress
from robustdd.rng import generator
from robustdd.weighting import forgetting
from robustdd.weighting.forgetting import (
    SplitRecord,
    forgetting_score,
    halves,
    second_split,
    static_weight,
)

torch.set_num_threads(1)

NETWORK = ConvNet(1, (4, 4), 3, 4, 1)
PARAMS = Forgetting(epochs=3, batch_size=4, learning_rate=0.05, momentum=0.9)


def noise_images(count: int = 20) -> tuple[Tensor, Tensor]:
    stream = generator("forgetting data")
    return torch.randn(count, 1, 4, 4, generator=stream), torch.randint(3, (count,), generator=stream)


def test_weights_pass_to_the_second_half_and_the_velocity_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    images, observed = noise_images()
    first, second = halves(len(images), 0)
    calls: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def count_up(network: ConvNet, state: Trained, *rest: Any) -> tuple[Trained, float]:
        seen, labels, weights, optimizer, batch_size, augment, _ = rest
        assert weights is None
        assert (optimizer, batch_size, augment) == (Optimizer("sgd", 0.05, 0.9, 0.0), 4, "none")
        calls.append((state.parameters, state.velocity, seen, labels))
        return Trained(state.parameters + 1, state.velocity + 1), 0.5

    monkeypatch.setattr(forgetting, "train_epoch", count_up)
    second_split(NETWORK, images, observed, first, second, PARAMS, 0)
    start = NETWORK.initial(generator("forgetting", 0, "initial"))
    for epoch, (parameters, velocity, seen, labels) in enumerate(calls):
        rows = first if epoch < 3 else second
        torch.testing.assert_close(parameters, start + epoch)
        assert bool((velocity == epoch % 3).all())
        assert torch.equal(seen, images[rows])
        assert torch.equal(labels, observed[rows])
    assert len(calls) == 6


def test_only_the_first_half_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    images, observed = noise_images(6)
    first, second = torch.tensor([0, 2, 5]), torch.tensor([1, 3, 4])
    right = torch.tensor([[1, 1, 0], [1, 0, 1], [1, 1, 0], [0, 1, 1], [0, 1, 1], [0, 0, 1]]).bool()
    answers = iter(right)

    def answer(network: ConvNet, parameters: Tensor, watched: Tensor) -> Tensor:
        assert torch.equal(watched, images[first])
        given = observed[first]
        return torch.eye(3)[torch.where(next(answers), given, (given + 1) % 3)]

    monkeypatch.setattr(forgetting, "predict", answer)
    told: list[Progress] = []
    record = second_split(NETWORK, images, observed, first, second, PARAMS, 0, told.append)
    assert record.rows.tolist() == [0, 2, 5]
    assert record.learned.tolist() == [1, 3, 4]
    assert record.forgotten.tolist() == [1, 3, 4]
    assert record.remembered.tolist() == [True, True, False]
    assert record.first_accuracy == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert record.second_accuracy == pytest.approx((2 / 3, 2 / 3, 1 / 3))
    assert [(news.step, news.total) for news in told] == [(step, 6) for step in range(1, 7)]
    assert told[-1].figures["accuracy"] == pytest.approx(1 / 3)


def test_a_run_repeats_whatever_the_global_generator_does() -> None:
    images, observed = noise_images()
    first, second = halves(len(images), 0)
    before = images.clone()

    def run(seed: int) -> SplitRecord:
        return second_split(NETWORK, images, observed, first, second, replace(PARAMS, epochs=6), seed)

    record = run(0)
    torch.manual_seed(3)
    again, other = run(0), run(1)
    assert torch.equal(again.learned, record.learned)
    assert torch.equal(again.forgotten, record.forgotten)
    assert again.first_accuracy == record.first_accuracy
    assert other.first_accuracy != record.first_accuracy
    assert torch.equal(images, before)


@pytest.mark.parametrize("definition", ["forever", "first"])
def test_wrong_labels_of_the_digits_get_low_static_weights(definition: str) -> None:
    train = read(Dataset(kind="digits")).train.select(torch.arange(500))
    observed = corrupt(
        train.labels, transition_matrix(Noise(kind="symmetric", rate=0.4), 10), "exact", generator("noise", 0)
    )
    images = fit(train.images, "zca", 0.1).apply(train.images)
    network = ConvNet(1, (8, 8), 10, 16, 2)
    params = Forgetting(epochs=15, batch_size=32, learning_rate=0.05, definition=cast(Any, definition))
    first, second = halves(len(train), 0)
    learned, forgotten = (torch.zeros(len(train), dtype=torch.int64) for _ in range(2))
    for one, other in ((first, second), (second, first)):
        record = second_split(network, images, observed, one, other, params, 0)
        learned[record.rows], forgotten[record.rows] = record.learned, record.forgotten
        assert record.first_accuracy[-1] > record.second_accuracy[-1]
    weight = static_weight(forgetting_score(learned, forgotten, 0.5))
    scores = detection_scores(weight, observed == train.labels)
    assert scores.auroc is not None
    assert scores.auroc > 0.9
