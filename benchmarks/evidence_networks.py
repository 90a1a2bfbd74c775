"""What the teachers and the clean targets of a study know: every network is asked about real training images."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import predict
from robustdd.params import Study
from tasks.cache.layout import Layout
from tasks.cache.unit import Unit
from tasks.files import LabelledImages, class_names, network_for, training_images
from tasks.stages import finetune as targets
from tasks.stages import teachers

LOOKED_AT = 2000
"""Training images, the first of them, on which networks are asked."""
Found = dict[str, Any]


def knowledge(study: Study, layout: Layout, view: str) -> Found:
    """What the teachers of a view know after every epoch, how far they moved in it, and their blends."""
    (units,) = teachers.waves(study, view, layout)
    data, network = _looked_at(study, units[0])
    blends, remembered = [], []
    for unit in units:
        blends.append(json.loads((unit.folder / f"{unit.name}.json").read_bytes())["blends"])
        with safe_open(unit.folder / f"{unit.name}.safetensors", "pt") as file:
            snapshots = file.get_tensor("snapshots")
        steps = [None, *snapshots.diff(dim=0).norm(dim=1).tolist()]
        remembered.append(
            [{**_knows(network, point, data), "step": step} for point, step in zip(snapshots, steps, strict=True)]
        )
    return {
        "weights": study.views[view].weights,
        "cell": study.views[view].cell,
        "blends": blends,
        "epochs": [_mean(same) for same in zip(*remembered, strict=True)],
    }


def _looked_at(study: Study, unit: Unit) -> tuple[LabelledImages, ConvNet]:
    data = training_images(unit)
    return data, network_for(study.network, data.images, len(class_names(unit)))


def _knows(network: ConvNet, parameters: Tensor, data: LabelledImages) -> Found:
    """Shares of rightly labelled images that get their label, and of wrongly labelled ones that get each of theirs."""
    if data.clean is None:
        raise SystemExit("this data set has no clean labels to look at")
    observed, clean = data.observed[:LOOKED_AT], data.clean[:LOOKED_AT]
    said = predict(network, parameters, data.images[:LOOKED_AT]).argmax(1)
    right = observed == clean
    return {
        "right": float((said == observed)[right].double().mean()),
        "wrong_as_observed": float((said == observed)[~right].double().mean()) if (~right).any() else None,
        "wrong_as_clean": float((said == clean)[~right].double().mean()) if (~right).any() else None,
    }


def _mean(same: Sequence[Found]) -> Found:
    return {name: None if same[0][name] is None else statistics.mean(one[name] for one in same) for name in same[0]}


def clean_targets(study: Study, layout: Layout, view: str) -> Found:
    """How far the clean targets lie from the teachers' own, and what each of the two remembers."""
    (units,) = targets.waves(study, view, layout)
    data, network = _looked_at(study, units[0])
    length = next(study.recipes[row.recipe].teacher_epochs for row in study.rows.values() if row.view == view)
    each: list[Found] = []
    for unit in units:
        with safe_open(unit.path("teacher", f"teacher-{unit.params['index']:03d}.safetensors"), "pt") as file:
            snapshots = file.get_tensor("snapshots")
        with safe_open(unit.folder / f"{unit.name}.safetensors", "pt") as file:
            starts, cleaned = file.get_tensor("starts").tolist(), file.get_tensor("targets")
        for start, target in zip(starts, cleaned, strict=True):
            own, begun = snapshots[start + length], snapshots[start]
            cosine = F.cosine_similarity(target - begun, own - begun, 0)
            each.append(
                {
                    "distance": float((target - own).norm() / (own - begun).norm()),
                    "length": float((target - begun).norm() / (own - begun).norm()),
                    "cosine": float(cosine),
                    **{f"clean_{name}": value for name, value in _knows(network, target, data).items()},
                    **{f"own_{name}": value for name, value in _knows(network, own, data).items()},
                }
            )
    return {"count": len(each), **_mean(each)}
