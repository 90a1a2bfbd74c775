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
    "ConvNet": "convnet",
    "Distilled": "distill",
    "ImageSet": "datasets.images",
    "Manifest": "manifest",
    "Recipe": "params",
    "Split": "datasets.images",
    "StoredSet": "stored",
    "Study": "params",
    "SyntheticSet": "synthetic",
    "Trajectories": "trajectories",
    "Whitening": "whitening",
    "blended_weight": "weights",
    "confidence_variance": "reliability",
    "corrupt": "noise",
    "detection_scores": "detection",
    "dynamic_weight": "weights",
    "evaluate_synthetic": "evaluate",
    "forgetting_score": "forgetting",
    "load_row": "stored",
    "load_study": "study",
    "mean_confidence": "reliability",
    "reliable_subset": "reliability",
    "static_weight": "forgetting",
    "train_on_noisy": "evaluate",
    "train_teacher": "teachers",
    "trajectory_gradients": "gradients",
    "transition_matrix": "noise",
    "verify": "verifying",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """The public object `name`, from the module where it lives, when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'robustdd' has no attribute {name!r}")
    return getattr(import_module(f"robustdd.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
