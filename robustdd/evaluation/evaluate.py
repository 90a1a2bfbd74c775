"""What a set is worth: the test accuracy of fresh networks trained on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robustdd.data.lazy_images import Images
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import Diverged
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained, accuracy, require_finite, train_epoch
from robustdd.params import Evaluate, TrainFull
from robustdd.progress import Listener, Progress, silence
from robustdd.rng import generator

DECAY = 0.1


@dataclass(frozen=True)
class Evaluation:
    """Test accuracy, 0 to 1, after the last epoch and the mean training loss of that epoch.

    `holdout_accuracy`: the same on the noisy hold-out, against its observed labels; None without one.
    """

    accuracy: float
    loss: float
    holdout_accuracy: float | None = None


@dataclass(frozen=True)
class FullResult:
    """Test accuracies, 0 to 1, of training on all noisy images: after the last epoch, and after every one in `curve`.

    `best` is best on test, after `best_epoch` (from 0, the earliest of equals): chosen by the test labels, it is no
    result but an upper bound, to be shown only under a heading that says so.
    """

    last: float
    best: float
    best_epoch: int
    curve: tuple[float, ...]


def evaluate_synthetic(
    network: ConvNet,
    synthetic: SyntheticSet,
    test_images: Images,
    test_labels: Tensor,
    params: Evaluate,
    seed: int,
    progress: Listener = silence,
    *,
    holdout: tuple[Images, Tensor] | None = None,
) -> Evaluation:
    """Train one fresh network on a synthetic set with its learned rate and test it once, after the last epoch.

    `test_images` [n, ...] whitened, `test_labels` int64 [n], `holdout` images and labels; runs on their device. Raises
    Diverged when the learned rate is not positive, or the training leaves the finite numbers.

    Source: the protocol of DATM: soft labels, momentum and weight decay, one drop of the rate, the velocity cleared.
    """
    rate, device = float(synthetic.learning_rate), test_images.device
    if not (math.isfinite(rate) and rate > 0):
        raise Diverged(f"the learned rate is {rate}, expected a positive number; lower the recipe's rate_step")
    images, labels = synthetic.images.to(device), synthetic.label_logits.to(device)
    optimizer = Optimizer("sgd", rate, params.momentum, params.weight_decay)
    state, loss = _fresh(network, device, "evaluate", seed), math.nan
    for epoch in range(params.epochs):
        if epoch == params.decay_epoch:
            optimizer = replace(optimizer, learning_rate=rate * DECAY)
            state = Trained.fresh(state.parameters)
        batches = (params.batch_size, params.augment, generator("evaluate", seed, "epoch", epoch))
        state, loss = train_epoch(network, state, images, labels, None, optimizer, *batches)
        require_finite(state, loss, f"evaluation seed {seed}, epoch {epoch}")
        progress(Progress(epoch + 1, params.epochs, {"loss": loss}))
    held = None if holdout is None else accuracy(network, state.parameters, *holdout)
    return Evaluation(accuracy(network, state.parameters, test_images, test_labels), loss, held)


def train_on_noisy(
    network: ConvNet,
    images: Images,
    observed: Tensor,
    test_images: Images,
    test_labels: Tensor,
    params: TrainFull,
    seed: int,
    progress: Listener = silence,
) -> FullResult:
    """Train one fresh network on all images with their observed labels and test it after every epoch.

    `images` [n, ...] whitened, `observed` int64 [n], likewise the test set, all on one device. The rate drops before
    each of `decay_epochs`, the velocity stays. Raises Diverged when the training leaves the finite numbers.

    Reading: the paper names no recipe for training "directly on the corrupted dataset"; this is the usual one.
    """
    optimizer = Optimizer("sgd", params.learning_rate, params.momentum, params.weight_decay)
    state = _fresh(network, images.device, "full", seed)
    curve: tuple[float, ...] = ()
    for epoch in range(params.epochs):
        if epoch in params.decay_epochs:
            optimizer = replace(optimizer, learning_rate=optimizer.learning_rate * DECAY)
        batches = (params.batch_size, params.augment, generator("full", seed, "epoch", epoch))
        state, loss = train_epoch(network, state, images, observed, None, optimizer, *batches)
        require_finite(state, loss, f"training on all images, seed {seed}, epoch {epoch}")
        curve = (*curve, accuracy(network, state.parameters, test_images, test_labels))
        progress(Progress(epoch + 1, params.epochs, {"loss": loss, "accuracy": curve[-1]}))
    best = max(curve)
    return FullResult(curve[-1], best, curve.index(best), curve)


def _fresh(network: ConvNet, device: torch.device, purpose: str, seed: int) -> Trained:
    return Trained.fresh(network.initial(generator(purpose, seed, "init")).to(device))
