"""Stage `train-full`: networks trained on all noisy images of a cell, one a seed: the row `full`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from robustdd.evaluation.evaluate import train_on_noisy
from robustdd.params import Study
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work
from tasks.files import (
    class_names,
    json_file,
    network_for,
    run_params,
    test_images,
    test_inputs,
    training_images,
    training_inputs,
)


def waves(study: Study, cell: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit a seed, then one that writes them together."""
    place = layout.place("train-full", cell)
    inputs = {**training_inputs(study, layout, cell), **test_inputs(study, layout, cell)}
    params = {"train_full": replace(study.train_full, seeds=()), "network": study.network, **run_params(study)}
    parts = [
        Unit(train.name, place, f"seed-{seed}", {**params, "seed": seed}, inputs) for seed in study.train_full.seeds
    ]
    yield parts
    joined = {part.name: Input(part.folder, part.name) for part in parts}
    yield [Unit(join.name, place, "full", {"cell": cell, "seeds": study.train_full.seeds}, joined)]


@cached_task("train-full.train")
def train(unit: Unit, work: Work) -> Made:
    """Train one network on the observed labels; its test accuracy at the last epoch, and at the best one on test.

    Without test images the noisy hold-out takes their place, and the result says so.
    """
    data, params = training_images(unit), unit.params
    network = network_for(params["network"], data.images, len(class_names(unit)))
    images, labels = test_images(unit)
    result = train_on_noisy(
        network, data.images, data.observed, images, labels, params["train_full"], params["seed"], work.progress
    )
    values = {
        "seed": params["seed"],
        "last": result.last,
        "best": result.best,
        "best_epoch": result.best_epoch,
        "curve": list(result.curve),
        "test_images": len(labels),
        "noisy_test": "test" not in unit.inputs,
    }
    return Made({f"{unit.name}.json": json_file(values)})


@cached_task("train-full.join")
def join(unit: Unit, work: Work) -> Made:
    """Every seed's accuracies of a cell in one file."""
    parts = [json.loads(unit.path(f"seed-{seed}", f"seed-{seed}.json").read_bytes()) for seed in unit.params["seeds"]]
    together = {
        "cell": unit.params["cell"],
        "seeds": [part["seed"] for part in parts],
        **{name: [part[name] for part in parts] for name in ("last", "best", "best_epoch")},
        "test_images": parts[0]["test_images"],
        "noisy_test": parts[0]["noisy_test"],
    }
    return Made({"full.json": json_file(together)})
