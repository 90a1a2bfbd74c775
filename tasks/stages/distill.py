"""Stage `distill`: the synthetic set of a row, by whichever method."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from robustdd.distillation.distill import distill
from robustdd.distillation.initialisation import Selection, random_start, selected_start
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.engine.settings import distilling
from robustdd.params import MATCHED, Recipe, Study
from robustdd.progress import Listener, Progress
from robustdd.rng import generator
from robustdd.trajectories.files import Trajectories
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work
from tasks.files import (
    class_names,
    json_file,
    network_for,
    run_params,
    tensors_file,
    training_images,
    training_inputs,
)

SKIPPED = 20
"""Iterations over the threshold, from the first on, after which the log says so."""
log = logging.getLogger("robustdd.run")


def waves(study: Study, row: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit: the synthetic set."""
    asked = study.rows[row]
    inputs = training_inputs(study, layout, study.views[asked.view].cell)
    count = range(study.teachers.num_teachers)
    if asked.method != "random":
        teachers = layout.artifact("teachers", asked.view)
        inputs |= {f"teacher-{index:03d}": Input(teachers, f"teacher-{index:03d}") for index in count}
    if asked.method == "ours":
        targets = layout.artifact("finetune", asked.view)
        inputs |= {f"clean-target-{index:03d}": Input(targets, f"clean-target-{index:03d}") for index in count}
    yield [Unit(distil.name, layout.place("distill", row), "distilled", _params(study, row), inputs)]


def _params(study: Study, row: str) -> dict[str, Any]:
    asked, recipe = study.rows[row], study.recipes[study.rows[row].recipe]
    initial = {"random": "random", "selected": "selected"}.get(asked.method, recipe.initial)
    matched, run = asked.method in MATCHED, run_params(study)
    return {
        "initial": initial,
        "ipc": asked.ipc,
        "seed": asked.seed,
        "initial_rate": recipe.initial_rate,
        "recipe": recipe if matched else None,
        "aux_share": recipe.aux_share if asked.method == "ours" else 0.0,
        "network": study.network,
        "engine": distilling(study, row, str(run["device"])) if matched else None,
        **run,
    }


@cached_task("distill.distil")
def distil(unit: Unit, work: Work) -> Made:
    """Choose real images as the first set and, for a matched method, move it along the teachers' trajectories."""
    data, params, classes = training_images(unit), unit.params, len(class_names(unit))
    network = network_for(params["network"], data.images, classes)
    labels = [label for label in unit.inputs if label.startswith("teacher-")]
    targets = [label for label in unit.inputs if label.startswith("clean-target-")]
    draws = generator("selection", params["seed"])
    if params["initial"] == "random":
        chosen = random_start(data.observed, classes, params["ipc"], draws, learnable=params["recipe"] is not None)
    else:
        finals = _trajectories(unit, labels, []).finals()
        chosen = selected_start(network, finals, data.images, data.observed, params["ipc"], draws)
    start = chosen.begin(data.images, params["initial_rate"])
    notes = _notes(chosen, None if data.clean is None else data.clean == data.observed)
    recipe: Recipe | None = params["recipe"]
    if recipe is None:
        return Made(_set_files(start, {0: start}), notes)
    trajectories = _trajectories(unit, labels, targets)
    listener = _warning(unit, recipe.threshold, work.progress)
    asked = (recipe, params["aux_share"], params["seed"], work.checkpoints, listener, params["engine"])
    found = distill(network, start, trajectories, *asked)
    curve = {
        "losses": found.losses.tolist(),
        "rates": found.rates.tolist(),
        "skipped": found.skipped,
        "iterations": recipe.iterations,
    }
    files = {**_set_files(found.synthetic, found.saved), "curve.json": json_file(curve)}
    return Made(files, {**notes, "skipped": found.skipped, "learning_rate": float(found.synthetic.learning_rate)})


def _warning(unit: Unit, threshold: float, listener: Listener) -> Listener:
    """`listener`, and one line when the first `SKIPPED` iterations, or all, have learnt nothing."""

    def listen(told: Progress) -> None:
        if told.step in (SKIPPED, told.total) and told.figures["skipped"] == told.step:
            log.warning(
                "%s: all of the first %d iterations had a loss above %s and changed nothing: lower initial_rate or "
                "inner_steps, or raise threshold",
                unit.place,
                told.step,
                threshold,
            )
        listener(told)

    return listen


def _trajectories(unit: Unit, labels: list[str], targets: list[str]) -> Trajectories:
    paths = [[unit.path(label, f"{label}.safetensors") for label in names] for names in (labels, targets)]
    return Trajectories.from_files(paths[0], paths[1] or None)


def _notes(chosen: Selection, right: Tensor | None) -> dict[str, Any]:
    """How many images had to be filled in, and what share of the chosen ones is labelled right, where that is known."""
    purity = None if right is None else float(right.cpu()[chosen.rows].double().mean())
    return {"filled": chosen.filled, "start_purity": purity}


def _set_files(final: SyntheticSet, saved: dict[int, SyntheticSet]) -> dict[str, bytes]:
    steps = {f"{step:06d}/{name}": tensor for step, one in saved.items() for name, tensor in one.tensors().items()}
    return {"distilled.safetensors": tensors_file(**final.tensors()), "saved.safetensors": tensors_file(**steps)}
