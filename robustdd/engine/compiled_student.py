"""A student that is a ConvNet under engine settings: compiled, in bfloat16, or with its activations kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.engine import microbatches as chunks
from robustdd.engine.compiled import Kept, gradient_alone, loss_gradient, tangent
from robustdd.engine.compiling import step
from robustdd.engine.means import means_of
from robustdd.engine.second_order import Sweep
from robustdd.networks.convnet import ConvNet
from robustdd.params import Engine


@dataclass(frozen=True)
class FusedStudent:
    """Derivatives of the soft cross-entropy of a ConvNet on one batch: those of `AutogradStudent`, by hand."""

    network: ConvNet
    engine: Engine

    @torch.inference_mode()
    def gradient(self, parameters: Tensor, images: Tensor, label_logits: Tensor) -> tuple[Tensor, list[Kept] | None]:
        """Gradient [P] in the parameters, and what `sweep` needs to form no activation again."""
        means = means_of(self.engine, parameters)
        keeps = self.engine.keep == "on"
        run = step(loss_gradient if keeps else gradient_alone, self.network, means, parameters.device.type)
        parts = chunks.split(self.network, images, label_logits, self.engine.chunk)
        found = [run(parameters, part, labels.softmax(1), parameters.new_ones(len(part))) for part, labels in parts]
        return chunks.summed([one[0] for one in found], parts), [one[2] for one in found] if keeps else None

    @torch.inference_mode()
    def sweep(
        self,
        parameters: Tensor,
        images: Tensor,
        label_logits: Tensor,
        direction: Tensor,
        kept: list[Kept] | None = None,
    ) -> Sweep:
        """What the gradient's product with a direction [P] depends on."""
        means = means_of(self.engine, parameters)
        run = step(tangent, self.network, means, parameters.device.type)
        parts = chunks.split(self.network, images, label_logits, self.engine.chunk)
        memory: Sequence[Kept | None] = kept or [None] * len(parts)
        sweeps = [
            run(parameters, part, labels, direction, one) for (part, labels), one in zip(parts, memory, strict=True)
        ]
        return chunks.joined(sweeps, parts)
