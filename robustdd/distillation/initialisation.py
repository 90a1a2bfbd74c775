"""Which real images the synthetic set begins as, and with which labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.data.lazy_images import Images
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import UserError
from robustdd.networks.training import Network

HARD_LOGIT = 128.0
"""exp(-128) is 0 in float32, so that the softmax of a scaled one-hot is that one-hot, exactly, and can never learn."""
SOFT_LOGIT = 8.0
"""As far apart as the logits of a sure teacher: the softmax of ten classes gives the label .997, and can learn."""
BATCH = 256


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen images and their labels, class after class."""

    rows: Tensor
    """int64 [C * ipc]."""
    label_logits: Tensor
    """float32 [C * ipc, C]."""
    filled: int
    """How many of them no teacher predicts as their observed label."""

    def begin(self, images: Images, learning_rate: float) -> SyntheticSet:
        """The synthetic set before its first update: the chosen ones of the whitened images [n, c, h, w], copied."""
        rate = torch.tensor(learning_rate, dtype=images.dtype, device=images.device)
        chosen = images[self.rows.to(images.device)]
        return SyntheticSet(chosen, self.label_logits.to(chosen), rate)


def random_start(observed: Tensor, classes: int, ipc: int, generator: torch.Generator, learnable: bool) -> Selection:
    """Choose `ipc` random images a class by observed label [n], with one-hot labels.

    The labels are exactly one-hot, which no gradient can move, unless they shall be `learnable`. Raises UserError when
    a class has fewer images.
    """
    rows = torch.cat([row[:ipc] for row in _permuted(observed, classes, ipc, generator)])
    return Selection(rows, _one_hot(observed.cpu()[rows], classes, SOFT_LOGIT if learnable else HARD_LOGIT), 0)


@torch.no_grad()
def selected_start(
    network: Network, finals: Tensor, images: Images, observed: Tensor, ipc: int, generator: torch.Generator
) -> Selection:
    """Choose images whose observed label the teachers predict, and label them with the mean logits of those that do.

    `finals` [teachers, P] are the last snapshots, `images` [n, c, h, w] whitened, `observed` [n]. For each class and in
    one random order of its images: those that teacher 0 predicts as their observed label, then those that teacher 1
    does, and so on. A class of which too few are predicted is filled by highest mean probability of the observed label;
    an image that no teacher predicts has a label near one-hot. Raises UserError when a class has fewer than `ipc`
    images.

    Source: DATM (Guo et al. 2024), its initialisation `samples_predicted_correctly`, without its endless loop.
    """
    finals = finals.to(images.device)
    classes = network(finals[0], images[:1]).shape[1]
    chosen, filled = [], 0
    for label, order in enumerate(_permuted(observed, classes, ipc, generator)):
        rows = _predicted(network, finals, images, label, order, ipc)
        missing = ipc - len(rows)
        filled += missing
        chosen.append(
            torch.cat([rows, _likeliest(network, finals, images, label, order, rows, missing)]) if missing else rows
        )
    rows = torch.cat(chosen)
    return Selection(rows, _mean_logits(network, finals, images[rows.to(images.device)], observed.cpu()[rows]), filled)


def _permuted(observed: Tensor, classes: int, ipc: int, generator: torch.Generator) -> list[Tensor]:
    """Rows of each class in a random order."""
    orders = []
    for label in range(classes):
        rows = (observed.cpu() == label).nonzero().flatten()
        if len(rows) < ipc:
            raise UserError(
                f"class {label} has {len(rows)} images by observed label, expected at least ipc = {ipc}: lower ipc"
            )
        orders.append(rows[torch.randperm(len(rows), generator=generator)])
    return orders


def _logits(network: Network, parameters: Tensor, images: Images, rows: Tensor) -> Tensor:
    return network(parameters, images[rows.to(images.device)]).cpu()


def _predicted(network: Network, finals: Tensor, images: Images, label: int, order: Tensor, ipc: int) -> Tensor:
    """Up to `ipc` rows of `order` that a teacher predicts as `label`, teacher after teacher, none twice."""
    found: list[Tensor] = []
    for parameters in finals:
        left = []
        for rows in torch.split(order, BATCH):
            hit = _logits(network, parameters, images, rows).argmax(1) == label
            found.append(rows[hit])
            left.append(rows[~hit])
            if sum(map(len, found)) >= ipc:
                return torch.cat(found)[:ipc]
        order = torch.cat(left)
    return torch.cat(found)


def _likeliest(
    network: Network, finals: Tensor, images: Images, label: int, order: Tensor, taken: Tensor, count: int
) -> Tensor:
    """The `count` rows of `order` outside `taken` of highest mean probability of `label`; the earlier of equals."""
    order = order[~torch.isin(order, taken)]
    probability = torch.zeros(len(order))
    for parameters in finals:
        logits = [_logits(network, parameters, images, rows) for rows in torch.split(order, BATCH)]
        probability += torch.cat(logits).softmax(1)[:, label]
    return order[probability.argsort(descending=True, stable=True)[:count]]


def _mean_logits(network: Network, finals: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """Mean logits over the teachers that predict an image as its label; near one-hot where none does."""
    total, correct = torch.tensor(0.0), torch.zeros(len(labels), 1)
    for parameters in finals:
        logits = torch.cat([network(parameters, batch).cpu() for batch in torch.split(images, BATCH)])
        hit = (logits.argmax(1) == labels).unsqueeze(1)
        total, correct = total + logits * hit, correct + hit
    return torch.where(correct > 0, total / correct.clamp(min=1), _one_hot(labels, total.shape[1], SOFT_LOGIT))


def _one_hot(labels: Tensor, classes: int, logit: float) -> Tensor:
    return torch.nn.functional.one_hot(labels, classes).float() * logit
