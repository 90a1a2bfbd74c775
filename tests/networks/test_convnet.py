from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from robustdd.networks.convnet import ConvNet
from robustdd.rng import generator

torch.set_num_threads(1)


class Module(nn.Module):
    """The published network as ordinary modules."""

    def __init__(self, shape: ConvNet) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for block in range(shape.depth):
            blocks += [
                nn.Conv2d(shape.channels if block == 0 else shape.width, shape.width, 3, padding=1),
                nn.GroupNorm(shape.width, shape.width, affine=True),
                nn.ReLU(),
                nn.AvgPool2d(2, 2),
            ]
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(shape.num_features, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))


SMALL = [ConvNet(3, (8, 8), 5, 6, 2), ConvNet(1, (9, 14), 4, 3, 2), ConvNet(2, (8, 8), 3, 4, 3)]


@pytest.mark.parametrize(("classes", "parameters"), [(10, 320_010), (100, 504_420)])
def test_cifar_networks_have_the_published_size(classes: int, parameters: int) -> None:
    network = ConvNet(3, (32, 32), classes, 128, 3)
    assert network.num_parameters == parameters
    assert network.num_features == 2048
    assert len(network.initial(generator("size"))) == parameters
    assert sum(parameter.numel() for parameter in Module(network).parameters()) == parameters


def test_depth_four_on_64_pixels_has_the_same_features() -> None:
    assert ConvNet(3, (64, 64), 200, 128, 4).num_features == 2048


@pytest.mark.parametrize("network", SMALL)
def test_order_and_logits_are_those_of_the_module(network: ConvNet) -> None:
    module = Module(network).double()
    assert [tuple(parameter.shape) for parameter in module.parameters()] == list(network.shapes)
    stream = generator("module")
    parameters = torch.randn(network.num_parameters, generator=stream, dtype=torch.float64)
    images = torch.randn(4, network.channels, *network.image_size, generator=stream, dtype=torch.float64)
    nn.utils.vector_to_parameters(parameters, module.parameters())
    torch.testing.assert_close(network(parameters, images), module(images), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        network.features(parameters, images), module.features(images).flatten(1), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("network", SMALL)
def test_the_gradient_is_that_of_the_module(network: ConvNet) -> None:
    module = Module(network).double()
    stream = generator("gradient")
    parameters = torch.randn(network.num_parameters, generator=stream, dtype=torch.float64).requires_grad_()
    images = torch.randn(4, network.channels, *network.image_size, generator=stream, dtype=torch.float64)
    nn.utils.vector_to_parameters(parameters.detach(), module.parameters())
    (gradient,) = torch.autograd.grad(network(parameters, images).square().sum(), parameters)
    expected = torch.autograd.grad(module(images).square().sum(), list(module.parameters()))
    torch.testing.assert_close(gradient, nn.utils.parameters_to_vector(expected), rtol=1e-9, atol=1e-9)


def test_flattening_comes_back() -> None:
    network = SMALL[0]
    parameters = network.initial(generator("round"))
    pieces = network.unflatten(parameters)
    assert [tuple(piece.shape) for piece in pieces] == list(network.shapes)
    assert torch.equal(torch.cat([piece.flatten() for piece in pieces]), parameters)


def test_initial_parameters_have_pytorch_s_distributions() -> None:
    network = ConvNet(3, (16, 16), 10, 64, 2)
    pieces = network.unflatten(network.initial(generator("initial")))
    modules = [parameter.detach() for parameter in Module(network).parameters()]
    for index, (shape, piece, module) in enumerate(zip(network.shapes, pieces, modules, strict=True)):
        if index % 4 in (2, 3) and index < 8:
            assert torch.equal(piece, module)
            continue
        fan_in = math.prod(network.shapes[index - index % 2][1:])
        bound = 1 / math.sqrt(fan_in)
        assert float(piece.abs().max()) <= bound
        assert float(module.abs().max()) <= bound
        if math.prod(shape) > 1000:
            ordered = piece.flatten().sort().values / bound
            uniform = torch.linspace(-1, 1, len(ordered))
            assert float((ordered - uniform).abs().max()) < 5 / math.sqrt(len(ordered))


def test_initial_parameters_follow_their_stream_alone() -> None:
    network = SMALL[0]
    first, again, other = (network.initial(generator("stream", seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.float32


def test_float64_in_float64_out() -> None:
    network = SMALL[0]
    logits = network(network.initial(generator("double")).double(), torch.randn(2, 3, 8, 8, dtype=torch.float64))
    assert logits.dtype == torch.float64
