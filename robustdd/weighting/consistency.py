"""The dynamic weight of every sample under one network: features, neighbours, agreement."""

from __future__ import annotations

import torch
from torch import Tensor

from robustdd.data.lazy_images import Images, batches
from robustdd.networks.convnet import ConvNet
from robustdd.params import Neighbours
from robustdd.weighting.neighbours import nearest_neighbours
from robustdd.weighting.weights import dynamic_weight

_BATCH = 1024


@torch.no_grad()
def consistency(
    network: ConvNet, parameters: Tensor, images: Images, observed: Tensor, neighbours: Neighbours
) -> Tensor:
    """Dynamic weights [n] of all samples under `parameters` [P], from whitened images without augmentation.

    Features are the penultimate ones of that very network; `observed` int64 [n]. Training refreshes its weights with
    this function and the final weights come from it too. Raises UserError when k >= n, Diverged when features are not
    finite.

    Reading: the paper names neither the feature space nor the distance; they are the network being trained and the
    cosine.
    """
    features = torch.cat([network.features(parameters, batch) for batch in batches(images, _BATCH)])
    probabilities = network.classify(parameters, features).softmax(1)
    return dynamic_weight(probabilities, nearest_neighbours(features, neighbours.k, neighbours.backend), observed)
