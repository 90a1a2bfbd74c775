"""What the engine is measured against, written plainly from the papers, with nothing of the core's gradients.

`unrolled` is how MTT and DATM differentiate the synthetic set (the whole graph, by autograd); `tesla` how TESLA does
(the parameters inside every step's gradient are constants); `LoaderLoop` how they train teachers (a DataLoader, one
batch at a time, an optimiser of torch). Batches and augmentations are those that the core is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from robustdd.distillation.matching import Goal
from robustdd.distillation.student import StudentBatch
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.networks.augment import draw

DSA = "color_crop_cutout_flip_scale_rotate"


class PlainConvNet(nn.Module):
    """The ConvNet as a module, and as a function of one flat vector."""

    def __init__(self, channels: int, side: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(depth):
            layers.append(nn.Conv2d(width if index else channels, width, 3, padding=1))
            layers += [nn.GroupNorm(width, width), nn.ReLU(inplace=True), nn.AvgPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * (side >> depth) ** 2, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))

    def at(self, flat: Tensor, images: Tensor) -> Tensor:
        """Logits under a flat vector of parameters."""
        shapes = {name: value.shape for name, value in self.named_parameters()}
        pieces = torch.split(flat, [shape.numel() for shape in shapes.values()])
        return functional_call(
            self, {name: piece.view(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}, images
        )

    def load(self, flat: Tensor) -> None:
        """Take the parameters from a flat vector."""
        nn.utils.vector_to_parameters(flat, self.parameters())


def _loss(network: PlainConvNet, flat: Tensor, batch: StudentBatch, synthetic: SyntheticSet) -> Tensor:
    images = batch.augmentation(synthetic.images[batch.indices])
    labels = synthetic.label_logits[batch.indices].softmax(1)
    return F.cross_entropy(network.at(flat, images), labels)


def unrolled(
    network: PlainConvNet, synthetic: SyntheticSet, batches: Sequence[StudentBatch], goal: Goal
) -> SyntheticSet:
    """Gradients of the matching loss through the whole graph of the student's training."""
    leaves = SyntheticSet(*(value.clone().requires_grad_() for value in synthetic.tensors().values()))
    student = goal.start.clone().requires_grad_()
    for batch in batches:
        loss = _loss(network, student, batch, leaves)
        student = student - leaves.learning_rate * torch.autograd.grad(loss, student, create_graph=True)[0]
    distance = (student - goal.target).square().sum() / (goal.start - goal.target).square().sum()
    distance.backward()
    return SyntheticSet(*(value.grad for value in leaves.tensors().values()))


def tesla(network: PlainConvNet, synthetic: SyntheticSet, batches: Sequence[StudentBatch], goal: Goal) -> SyntheticSet:
    """TESLA's gradients: two passes over the steps, one step's graph at a time."""
    rate, path, sums = synthetic.learning_rate, [goal.start], torch.zeros_like(goal.start)
    for batch in batches:
        flat = path[-1].clone().requires_grad_()
        gradient = torch.autograd.grad(_loss(network, flat, batch, synthetic), flat)[0]
        sums = sums + gradient
        path.append(path[-1] - rate * gradient)
    norm = (goal.start - goal.target).square().sum()
    direction = 2 * (path[-1] - goal.target) / norm
    leaves = SyntheticSet(*(value.clone().requires_grad_() for value in synthetic.tensors().values()))
    for point, batch in zip(path[:-1], batches, strict=True):
        flat = point.clone().requires_grad_()
        gradient = torch.autograd.grad(_loss(network, flat, batch, leaves), flat, create_graph=True)[0]
        (-rate * gradient @ direction).backward()
    leaves.learning_rate.grad = -(sums @ direction)
    return SyntheticSet(*(value.grad for value in leaves.tensors().values()))


class LoaderLoop:
    """The training loop of a teacher as it is usually written; each call makes some more steps of it."""

    def __init__(self, network: PlainConvNet, images: Tensor, labels: Tensor, batch_size: int, rate: float) -> None:
        self.network, self.device = network.to(images.device), images.device
        self.loader = DataLoader(TensorDataset(images.cpu(), labels.cpu()), batch_size=batch_size, shuffle=True)
        self.optimizer = torch.optim.SGD(network.parameters(), lr=rate)
        self.batches: Iterator[list[Tensor]] = iter(self.loader)
        self.generator = torch.Generator().manual_seed(0)

    def steps(self, count: int) -> None:
        """Make `count` steps."""
        for _ in range(count):
            images, labels = self._next()
            images = draw(DSA, len(images), tuple(images.shape[2:]), self.generator)(images.to(self.device))
            loss = F.cross_entropy(self.network(images), labels.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def _next(self) -> list[Tensor]:
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches)
