"""Networks outside the ConvNet family: autograd differentiates them, exactly; and ConvNets of any size, by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from robustdd.data.torchvision_compat import torchvision
from robustdd.distillation.gradients import student_of, trajectory_gradients
from robustdd.distillation.student import AutogradStudent, StudentBatch
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import UserError
from robustdd.networks.augment import draw
from robustdd.networks.convnet import ConvNet
from robustdd.params import Engine
from robustdd.rng import generator
from tests.distillation.test_gradients import error, values

STRATEGY = "color_crop_cutout_flip_scale_rotate"
NetworkOf = Callable[[Tensor, Tensor], Tensor]


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(2, channels) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        inner = F.relu(self.norms[0](self.convolutions[0](images)))
        return F.relu(images + self.norms[1](self.convolutions[1](inner)))


def residual() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), Residual(4), nn.AvgPool2d(2), Residual(4), nn.Flatten())


def vgg() -> nn.Module:
    sizes = ((2, 4), (4, 6))
    blocks = [layer for a, b in sizes for layer in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(24, 8), nn.ReLU())


def of_torchvision() -> nn.Module:
    models = torchvision("models.resnet")
    norm = partial(nn.GroupNorm, 4)
    network: nn.Module = models.ResNet(models.BasicBlock, [1, 1, 1, 1], num_classes=6, norm_layer=norm)
    network.conv1 = nn.Conv2d(2, 64, 3, padding=1, bias=False)
    return network


def function_of(module: nn.Module, features: int) -> tuple[NetworkOf, Tensor]:
    """A module and a classifier behind it as a function of one flat vector, and that vector."""
    whole = nn.Sequential(module, nn.Linear(features, 3)).double()
    shapes = {name: value.shape for name, value in whole.named_parameters()}
    draws = generator("networks")
    flat = torch.cat(
        [0.3 * torch.randn(shape.numel(), generator=draws, dtype=torch.float64) for shape in shapes.values()]
    )

    def network(parameters: Tensor, images: Tensor) -> Tensor:
        pieces = torch.split(parameters, [shape.numel() for shape in shapes.values()])
        named = {name: piece.view(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}
        return functional_call(whole, named, images)

    return network, flat


def gradients(network: NetworkOf, start: Tensor, shape: tuple[int, ...], classes: int, engine: Engine, backend: str):
    draws = generator("networks", "set")
    images, labels = (torch.randn(4, *size, generator=draws, dtype=torch.float64) for size in (shape, (classes,)))
    synthetic = SyntheticSet(images, labels, torch.tensor(0.03, dtype=torch.float64))
    batches = [
        StudentBatch(torch.randperm(4, generator=draws)[:3], draw(STRATEGY, 3, shape[1:], draws)) for _ in range(3)
    ]
    target = start + 0.02 * torch.randn(len(start), generator=draws, dtype=torch.float64)
    return trajectory_gradients(network, synthetic, batches, start, target, backend=backend, engine=engine)


@pytest.mark.parametrize(("module", "features"), [(residual, 64), (vgg, 8), (of_torchvision, 6)])
def test_a_network_outside_the_family_has_the_exact_adjoint_too(module: Callable[[], nn.Module], features: int) -> None:
    network, start = function_of(module(), features)
    engine = Engine("on", "float32", "on", 2)  # for a ConvNet; here it changes nothing
    assert isinstance(student_of(network, engine), AutogradStudent)
    found, exact = (gradients(network, start, (2, 8, 8), 3, engine, backend) for backend in ("adjoint", "unroll"))
    assert error(values(found), values(exact)) < 1e-10


@pytest.mark.parametrize(
    ("channels", "side", "width", "depth"),
    [(1, (8, 8), 4, 1), (3, (12, 8), 3, 3), (6, (9, 11), 2, 2), (1, (5, 4), 8, 2), (3, (16, 16), 2, 4)],
)
@pytest.mark.parametrize("keep", ["off", "on"])
def test_a_convnet_of_any_depth_width_and_size_by_hand(
    channels: int, side: tuple[int, int], width: int, depth: int, keep: str
) -> None:
    network = ConvNet(channels, side, 3, width, depth)
    start = network.initial(generator("sizes")).double()
    engine = Engine("off", "float32", keep, 2)  # type: ignore[arg-type]
    found = gradients(network, start, (channels, *side), 3, engine, "adjoint")
    assert error(values(found), values(gradients(network, start, (channels, *side), 3, engine, "unroll"))) < 1e-10


@pytest.mark.parametrize(("side", "depth"), [((4, 4), 3), ((16, 3), 2)])
def test_an_image_that_is_too_small_for_its_depth_is_refused_in_one_line(side: tuple[int, int], depth: int) -> None:
    with pytest.raises(UserError, match=r"network depth .* halves images of .* away; expected at most \d"):
        ConvNet(1, side, 3, 4, depth)
