"""The gradient that training descends along, under engine settings: autograd's, or that of `compiled`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from robustdd.engine.compiled import gradient_alone
from robustdd.engine.compiling import carried_out, step
from robustdd.engine.means import means_of
from robustdd.engine.settings import PLAIN
from robustdd.errors import UserError
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Differentiate, Network, by_autograd
from robustdd.params import Engine


def differentiate_by(engine: Engine) -> Differentiate:
    """How a batch's loss is differentiated: by hand for a ConvNet, by autograd where nothing is or can be switched on.

    What is given back raises UserError for bfloat16 of another network, which autograd differentiates in any case.
    """

    def differentiate(
        network: Network, parameters: Tensor, images: Tensor, labels: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if not isinstance(network, ConvNet):
            if engine.precision != "float32":
                raise UserError("engine.precision: bfloat16 is written for the ConvNet alone; set float32")
            return by_autograd(network, parameters, images, labels, weights)
        possible = carried_out(engine, parameters.device.type)
        if (possible.compile, possible.precision) == (PLAIN.compile, PLAIN.precision):
            return by_autograd(network, parameters, images, labels, weights)
        return _by_hand(possible, network, parameters, images, labels, weights)

    return differentiate


@torch.no_grad()
def _by_hand(
    engine: Engine, network: ConvNet, parameters: Tensor, images: Tensor, labels: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    soft = labels.softmax(1) if labels.is_floating_point() else F.one_hot(labels, network.classes)
    shares = parameters.new_ones(len(images)) if weights is None else weights.to(parameters)
    run = step(gradient_alone, network, means_of(engine, parameters), parameters.device.type)
    gradient, loss = run(parameters, images, soft.to(parameters), shares)
    return gradient, loss
