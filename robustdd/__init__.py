"""Distil a tiny, clean training set out of a large, wrongly labelled one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Names only, no imports: `import robustdd` costs nothing, and no module reaches the world through its package.
_HOMES = {
    "CorruptArtifact": "errors",
    "Diverged": "errors",
    "RobustddError": "errors",
    "UserError": "errors",
    "ConvNet": "networks.convnet",
    "Distilled": "distillation.distill",
    "ImageSet": "data.image_set",
    "Manifest": "store.manifest",
    "Recipe": "params",
    "Split": "data.image_set",
    "StoredSet": "study.rows",
    "Study": "params",
    "SyntheticSet": "distillation.synthetic",
    "Trajectories": "trajectories.files",
    "Whitening": "data.whitening",
    "blended_weight": "weighting.weights",
    "confidence_variance": "weighting.reliability",
    "corrupt": "noise.api",
    "detection_scores": "evaluation.label_errors",
    "dynamic_weight": "weighting.weights",
    "evaluate_synthetic": "evaluation.evaluate",
    "forgetting_score": "weighting.forgetting",
    "load_row": "study.rows",
    "load_study": "study.load",
    "mean_confidence": "weighting.reliability",
    "reliable_subset": "weighting.reliability",
    "static_weight": "weighting.forgetting",
    "train_on_noisy": "evaluation.evaluate",
    "train_teacher": "trajectories.teachers",
    "trajectory_gradients": "distillation.gradients",
    "transition_matrix": "noise.api",
    "verify": "store.verifying",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """The public object `name`, from the module where it lives, when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'robustdd' has no attribute {name!r}")
    return getattr(import_module(f"robustdd.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
