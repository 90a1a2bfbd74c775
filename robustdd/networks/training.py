"""Training a network that is a function of one flat vector: losses, the optimiser's step, an epoch, accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from robustdd.data.lazy_images import Images, batches
from robustdd.errors import Diverged, UserError
from robustdd.networks import sam as gsam
from robustdd.networks.augment import draw
from robustdd.params import Teachers

Network = Callable[[Tensor, Tensor], Tensor]
"""(parameters [P], images [n, channels, height, width]) -> logits [n, C]."""


@dataclass(frozen=True)
class Optimizer:
    """SGD with momentum and weight decay; `gsam` feeds it the sharpness-aware gradient of radius `rho`."""

    kind: Literal["sgd", "gsam"]
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    rho: float = 0.0
    surrogate_share: float = 0.0

    @classmethod
    def of_teachers(cls, params: Teachers) -> Self:
        """The optimiser that trains the teachers and fine-tunes their clean targets."""
        return cls(
            params.optimizer,
            params.learning_rate,
            params.momentum,
            params.weight_decay,
            params.rho,
            params.surrogate_share,
        )


@dataclass(frozen=True, eq=False)
class Trained:
    """Parameters [P] and the optimiser's velocity [P] between two steps."""

    parameters: Tensor
    velocity: Tensor

    @classmethod
    def fresh(cls, parameters: Tensor) -> Self:
        """Parameters with no velocity yet."""
        return cls(parameters, torch.zeros_like(parameters))


def soft_cross_entropy(logits: Tensor, label_logits: Tensor) -> Tensor:
    """Mean over the batch of -sum softmax(label_logits) * log_softmax(logits); both [n, C]."""
    return _losses(logits, label_logits).mean()


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over the batch, not over the weights, of weight times cross-entropy; weights [n], or None for 1.

    Of logits [n, C] and `labels`: classes, int64 [n], or label logits, floating [n, C].

    Reading: Sec. 4.2 says only that the weight "modulates the contribution" of a sample; it multiplies its loss.
    """
    losses = _losses(logits, labels)
    return (losses if weights is None else weights * losses).mean()


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    if labels.is_floating_point():
        return -(labels.softmax(1) * logits.log_softmax(1)).sum(1)
    return F.cross_entropy(logits, labels, reduction="none")


def step(
    network: Network, state: Trained, images: Tensor, labels: Tensor, weights: Tensor | None, optimizer: Optimizer
) -> tuple[Trained, float]:
    """One step of the optimiser on one batch, as given, and the batch's loss before it."""
    after, loss = _step(network, state, images, labels, weights, optimizer)
    return after, float(loss)


Differentiate = Callable[[Network, Tensor, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""(network, parameters [P], images, labels, weights) -> gradient [P] and value of `weighted_cross_entropy`."""


def by_autograd(
    network: Network, parameters: Tensor, images: Tensor, labels: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Gradient [P] and value of `weighted_cross_entropy`, of any network."""
    leaf = parameters.detach().requires_grad_()
    loss = weighted_cross_entropy(network(leaf, images), labels, weights)
    return torch.autograd.grad(loss, leaf)[0], loss.detach()


def _step(
    network: Network,
    state: Trained,
    images: Tensor,
    labels: Tensor,
    weights: Tensor | None,
    optimizer: Optimizer,
    differentiate: Differentiate = by_autograd,
) -> tuple[Trained, Tensor]:
    def loss_gradient(parameters: Tensor) -> tuple[Tensor, Tensor]:
        return differentiate(network, parameters, images, labels, weights)

    rho = optimizer.rho if optimizer.kind == "gsam" else 0.0
    gradient, loss = gsam.gradient(loss_gradient, state.parameters, rho, optimizer.surrogate_share)
    if optimizer.weight_decay:
        gradient = gradient.add(state.parameters, alpha=optimizer.weight_decay)
    velocity = gradient.add(state.velocity, alpha=optimizer.momentum) if optimizer.momentum else gradient
    return Trained(state.parameters.add(velocity, alpha=-optimizer.learning_rate), velocity), loss


def train_epoch(
    network: Network,
    state: Trained,
    images: Images,
    labels: Tensor,
    weights: Tensor | None,
    optimizer: Optimizer,
    batch_size: int,
    augment: str,
    generator: torch.Generator,
    differentiate: Differentiate = by_autograd,
) -> tuple[Trained, float]:
    """One pass over the images in a fresh random order, the last short batch included, and the mean loss of a sample.

    `images` float [n, channels, height, width], `labels` and `weights` as in `weighted_cross_entropy` lie on the device
    of the parameters; the order and one augmentation a batch come from `generator`. Raises UserError for no images.
    """
    if not len(images):
        raise UserError("there are no images to train on: expected at least 1")
    image_size = (images.shape[2], images.shape[3])
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    for rows in torch.split(torch.randperm(len(images), generator=generator), batch_size):
        augmented = draw(augment, len(rows), image_size, generator)
        rows = rows.to(images.device, non_blocking=True)
        batch = (augmented(images[rows]), labels[rows], None if weights is None else weights[rows])
        state, loss = _step(network, state, *batch, optimizer, differentiate)
        total += loss.double() * len(rows)
    return state, float(total) / len(images)


def require_finite(state: Trained, loss: float, place: str) -> None:
    """Raise Diverged, naming `place`, unless the loss and all parameters are finite."""
    if not (math.isfinite(loss) and bool(state.parameters.isfinite().all())):
        raise Diverged(
            f"{place}: loss {loss:g}, expected finite numbers there and in the parameters; lower its learning rate"
        )


@torch.no_grad()
def predict(network: Network, parameters: Tensor, images: Images, batch_size: int = 1024) -> Tensor:
    """Logits [n, C] of images, without augmentation or gradient."""
    return torch.cat([network(parameters, batch) for batch in batches(images, batch_size)])


def accuracy(network: Network, parameters: Tensor, images: Images, labels: Tensor) -> float:
    """Share, 0 to 1, of images whose highest logit is at the label; labels int64 [n]."""
    return float((predict(network, parameters, images).argmax(1) == labels).double().mean())
