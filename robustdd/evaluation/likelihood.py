"""How likely a trained network finds the observed labels."""

from __future__ import annotations

from torch import Tensor

from robustdd.data.lazy_images import Images
from robustdd.networks.training import Network, predict


def observed_log_probability(network: Network, parameters: Tensor, images: Images, observed: Tensor) -> Tensor:
    """Log-probability of the observed label, [n], minus the cross-entropy, under `parameters` [P], not augmented.

    `images` [n, channels, height, width], whitened; `observed` int64 [n].
    """
    logits = predict(network, parameters, images)
    return logits.log_softmax(1).gather(1, observed[:, None]).squeeze(1)
