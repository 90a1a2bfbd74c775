"""Small loss: a label that the trained networks find unlikely is taken for a wrong one."""

from __future__ import annotations

import torch
from torch import Tensor

from robustdd.training import Network, predict


def observed_log_probability(network: Network, parameters: Tensor, images: Tensor, observed: Tensor) -> Tensor:
    """Log-probability of the observed label, [n], minus the cross-entropy, under `parameters` [P], not augmented.

    `images` float [n, channels, height, width], whitened; `observed` int64 [n].
    """
    logits = predict(network, parameters, images)
    return logits.log_softmax(1).gather(1, observed[:, None]).squeeze(1)


def small_loss(log_probability: Tensor) -> Tensor:
    """Trust in every label, float64 [n] in 0..1: the smaller the mean loss over the networks, the higher.

    `log_probability` [P, n] is that of the observed label under P networks; the trust is their geometric mean, which
    ranks as the mean cross-entropy does. Source: the small-loss trick, Han et al., "Co-teaching", NeurIPS 2018.
    """
    return torch.exp(log_probability.double().mean(0))
