from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from robustdd.errors import Diverged, UserError
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained, accuracy, train_epoch
from robustdd.params import Teachers
from robustdd.rng import generator
from robustdd.trajectories.clean_targets import clean_target

torch.set_num_threads(1)

NETWORK = ConvNet(1, (4, 4), 3, 4, 1)
PARAMS = Teachers(batch_size=8, learning_rate=0.05, momentum=0.9, rho=0.1, seed=3)


def data(count: int = 21) -> tuple[Tensor, Tensor, Tensor]:
    stream = generator("finetune data")
    images = torch.randn(count, 1, 4, 4, generator=stream)
    return NETWORK.initial(stream), images, torch.randint(3, (count,), generator=stream)


def test_is_the_teachers_optimiser_from_the_snapshot_without_weights() -> None:
    start, images, observed = data()
    state = Trained.fresh(start)
    for epoch in range(2):
        stream = generator("finetune", 3, 4, 5, epoch)
        optimizer = Optimizer.of_teachers(PARAMS)
        state, _ = train_epoch(NETWORK, state, images, observed, None, optimizer, 8, PARAMS.augment, stream)
    target = clean_target(NETWORK, start, images, observed, PARAMS, 2, 4, 5)
    assert torch.equal(target, state.parameters)


def test_repeats_to_the_bit_and_has_a_stream_for_each_teacher_and_start() -> None:
    arguments = (NETWORK, *data(), PARAMS, 1)
    target = clean_target(*arguments, 0, 0)
    assert torch.equal(clean_target(*arguments, 0, 0), target)
    assert not torch.equal(clean_target(*arguments, 1, 0), target)
    assert not torch.equal(clean_target(*arguments, 0, 1), target)


def test_leaves_the_snapshot_alone_even_without_a_pass() -> None:
    start, images, observed = data()
    before = start.clone()
    clean_target(NETWORK, start, images, observed, PARAMS, 2, 0, 0)
    assert torch.equal(start, before)
    unmoved = clean_target(NETWORK, start, images, observed, PARAMS, 0, 0, 0)
    assert torch.equal(unmoved, start)
    assert unmoved.data_ptr() != start.data_ptr()


def test_brings_the_parameters_nearer_to_the_subset() -> None:
    start, images, observed = data()
    target = clean_target(NETWORK, start, images, observed, replace(PARAMS, augment="none"), 30, 0, 0)
    assert accuracy(NETWORK, target, images, observed) > accuracy(NETWORK, start, images, observed) + 0.2


def test_an_empty_subset_is_a_mistake() -> None:
    start, images, observed = data(0)
    with pytest.raises(UserError, match="no images"):
        clean_target(NETWORK, start, images, observed, PARAMS, 1, 0, 0)


def test_divergence_names_the_teacher_and_the_start() -> None:
    with pytest.raises(Diverged, match="clean target of teacher 4 from epoch 5, pass 0"):
        clean_target(NETWORK, *data(), replace(PARAMS, learning_rate=1e30), 2, 4, 5)
