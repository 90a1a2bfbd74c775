"""Stage `evaluate`: fresh networks trained on a row's synthetic set, one a seed, and their test accuracy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from safetensors.torch import load_file

from robustdd.distillation.synthetic import SyntheticSet
from robustdd.evaluation.evaluate import evaluate_synthetic
from robustdd.params import Study
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work
from tasks.files import holdout_images, json_file, network_for, run_params, test_images, test_inputs, training_inputs


def waves(study: Study, row: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit a seed, then one that writes them together."""
    asked = study.rows[row]
    cell = study.views[asked.view].cell
    place = layout.place("evaluate", row)
    inputs = {
        **training_inputs(study, layout, cell),
        **test_inputs(study, layout, cell),
        "distilled": Input(layout.artifact("distill", row), "distilled"),
    }
    params = {"evaluate": replace(study.evaluate, seeds=()), "network": study.network, **run_params(study)}
    parts = [Unit(train.name, place, f"seed-{seed}", {**params, "seed": seed}, inputs) for seed in study.evaluate.seeds]
    yield parts
    told = {"row": row, "cell": cell, "view": asked.view, "method": asked.method, "ipc": asked.ipc}
    told |= {"seed": asked.seed, "recipe": asked.recipe}
    joined = {part.name: Input(part.folder, part.name) for part in parts}
    yield [Unit(join.name, place, "accuracy", {"row": told, "seeds": study.evaluate.seeds}, joined)]


@cached_task("evaluate.train")
def train(unit: Unit, work: Work) -> Made:
    """Train one network and measure it on the test images, and on the noisy hold-out where there is one.

    Without test images the noisy hold-out takes their place, and the result says so.
    """
    params, synthetic = unit.params, _on_device(unit)
    network = network_for(params["network"], synthetic.images, synthetic.label_logits.shape[1])
    images, labels = test_images(unit)
    apart = holdout_images(unit) if "test" in unit.inputs else None
    extra = (apart.images, apart.observed) if apart and apart.ids else None
    result = evaluate_synthetic(
        network, synthetic, images, labels, params["evaluate"], params["seed"], work.progress, holdout=extra
    )
    values = {
        "accuracy": result.accuracy,
        "holdout_accuracy": result.holdout_accuracy,
        "seed": params["seed"],
        "test_images": len(labels),
        "noisy_test": "test" not in unit.inputs,
    }
    return Made({f"{unit.name}.json": json_file(values)})


def _on_device(unit: Unit) -> SyntheticSet:
    from robustdd.devices import resolve

    device = resolve(unit.params["device"])
    tensors = load_file(unit.path("distilled", "distilled.safetensors"), device=str(device))
    return SyntheticSet.from_tensors(tensors)


@cached_task("evaluate.join")
def join(unit: Unit, work: Work) -> Made:
    """Every seed's accuracy of a row in one file."""
    parts: list[dict[str, Any]] = [
        json.loads(unit.path(f"seed-{seed}", f"seed-{seed}.json").read_bytes()) for seed in unit.params["seeds"]
    ]
    held = [part["holdout_accuracy"] for part in parts]
    together = {
        **unit.params["row"],
        "evaluation_seeds": [part["seed"] for part in parts],
        "accuracy": [part["accuracy"] for part in parts],
        "holdout_accuracy": None if None in held else held,
        "test_images": parts[0]["test_images"],
        "noisy_test": parts[0]["noisy_test"],
    }
    return Made({"accuracy.json": json_file(together)})
