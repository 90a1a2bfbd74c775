"""What can be seen of a unit while it runs: its hold-out accuracy so far, and its images. Never part of a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import Diverged
from robustdd.evaluation.evaluate import evaluate_synthetic
from robustdd.networks.training import accuracy
from robustdd.params import Evaluate, Recipe
from robustdd.reporting.pictures import picture
from tasks.cache.unit import Unit
from tasks.files import class_names, holdout_images, network_for, read_table, whitening

MOST_HELD_OUT = 2000
"""Hold-out images looked at; the share of right ones is then known to about one per cent."""
_IMAGE_PASSES = 20_000
"""Training images, counted once an epoch, of the short network that looks at a distilled set."""
NO_HOLDOUT = "This study has no noisy hold-out (`holdout: 0` of its dataset): accuracy is known after `evaluate` alone."


@dataclass(frozen=True)
class Seen:
    """One look: accuracy on the noisy hold-out, 0 to 1, how it was got, and a picture with its caption."""

    accuracy: float | None
    measured: str
    picture: bytes | None = None
    caption: str = ""


@dataclass(frozen=True)
class Look:
    """How a unit is looked at: what one of its steps is called, and what its tensors show."""

    step_name: str
    see: Callable[[Mapping[str, Tensor]], Seen]


def look_of(unit: Unit) -> Look | None:
    """How to look at a unit; None for one that has nothing to show but its progress."""
    match unit.task:
        case "distill.distil":
            return Look("iteration", _Distilled(unit).see)
        case "teachers.train":
            return Look("epoch", _Teacher(unit).see)
    return None


@dataclass(frozen=True)
class _Studied:
    """A unit's hold-out, read at the first look. All on the CPU: the GPU's memory is the computation's."""

    unit: Unit

    @cached_property
    def held_out(self) -> tuple[Tensor, Tensor] | None:
        if not any(read_table(self.unit.path("labels", "labels.parquet"))["holdout"].to_pylist()):
            return None
        apart = holdout_images(self.unit)
        return apart.images[:MOST_HELD_OUT].cpu(), apart.observed[:MOST_HELD_OUT].cpu()


class _Distilled(_Studied):
    def see(self, tensors: Mapping[str, Tensor]) -> Seen:
        synthetic = SyntheticSet.from_tensors({name: tensor.cpu() for name, tensor in tensors.items()})
        images = whitening(self.unit).invert(synthetic.images).clamp(0, 1)
        shown = picture(images, class_names(self.unit))
        found, measured = self._accuracy(synthetic)
        return Seen(found, measured, shown, "the distilled images")

    def _accuracy(self, synthetic: SyntheticSet) -> tuple[float | None, str]:
        if self.held_out is None:
            return None, NO_HOLDOUT
        recipe: Recipe = self.unit.params["recipe"]
        epochs = max(5, min(100, _IMAGE_PASSES // len(synthetic.images)))
        params = Evaluate(epochs=epochs, decay_epoch=epochs // 2, augment=recipe.augment)
        network = network_for(self.unit.params["network"], synthetic.images, synthetic.label_logits.shape[1])
        try:
            found = evaluate_synthetic(network, synthetic, *self.held_out, params, seed=0)
        except Diverged as error:
            return None, f"No accuracy: a short network on this set did not train ({error})."
        return found.accuracy, f"A quick look: one network of {epochs} epochs; `evaluate` trains longer, and several."


class _Teacher(_Studied):
    def see(self, tensors: Mapping[str, Tensor]) -> Seen:
        if self.held_out is None:
            return Seen(None, NO_HOLDOUT)
        images, observed = self.held_out
        network = network_for(self.unit.params["network"], images, len(class_names(self.unit)))
        found = accuracy(network, tensors["parameters"].detach().cpu(), images, observed)
        return Seen(found, f"Share of {len(observed)} held-out images that get their observed, partly wrong label.")
