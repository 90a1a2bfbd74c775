"""Stage `finetune`: clean targets, by fine-tuning every teacher on the reliable subset from the start epochs in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from safetensors import safe_open
from torch import Tensor

from robustdd.data.lazy_images import part
from robustdd.engine.settings import training
from robustdd.errors import RobustddError
from robustdd.params import Study
from robustdd.progress import Progress
from robustdd.store.artifacts import verify
from robustdd.trajectories.clean_targets import clean_target
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work, key_of
from tasks.files import (
    class_names,
    column,
    network_for,
    read_table,
    run_params,
    tensors_file,
    training_images,
    training_inputs,
)


def waves(study: Study, view: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit a teacher: its targets of every start epoch."""
    teachers, run = layout.artifact("teachers", view), run_params(study)
    inputs = {
        **training_inputs(study, layout, study.views[view].cell),
        "reliability": Input(layout.artifact("subset", view), "reliability"),
    }
    params = {
        "teachers": replace(study.teachers, num_teachers=1, ladder="paper"),
        "epochs": study.finetune.epochs,
        "starts": tuple(range(study.finetune.first_start, study.finetune.last_start + 1)),
        "network": study.network,
        "engine": training(study, view, str(run["device"])),
        **run,
    }
    place, units = layout.place("finetune", view), []
    for index in range(study.teachers.num_teachers):
        taught = {**inputs, "teacher": Input(teachers, f"teacher-{index:03d}")}
        name = f"clean-target-{index:03d}"
        units.append(Unit(finetune.name, place, name, {**params, "index": index}, taught))
    yield units


@cached_task("finetune.finetune")
def finetune(unit: Unit, work: Work) -> Made:
    """Clean target of every start epoch of one teacher; those that an earlier run made are kept."""
    data, params, index = training_images(unit), unit.params, unit.params["index"]
    chosen = column(read_table(unit.path("reliability", "reliability.parquet")), "in_subset").to(data.images.device)
    images, observed = part(data.images, chosen), data.observed[chosen]
    network = network_for(params["network"], data.images, len(class_names(unit)))
    targets = _made_before(unit)
    with safe_open(unit.path("teacher", f"teacher-{index:03d}.safetensors"), "pt") as file:
        snapshots = file.get_slice("snapshots")
        for count, start in enumerate(params["starts"]):
            if start not in targets:
                parameters = snapshots[start].to(data.images.device)
                targets[start] = clean_target(
                    network,
                    parameters,
                    images,
                    observed,
                    params["teachers"],
                    params["epochs"],
                    index,
                    start,
                    params["engine"],
                ).cpu()
            work.progress(Progress(count + 1, len(params["starts"])))
    wanted = torch.stack([targets[start] for start in params["starts"]])
    starts = torch.tensor(params["starts"], dtype=torch.int64)
    return Made({f"{unit.name}.safetensors": tensors_file(targets=wanted, starts=starts)})


def _made_before(unit: Unit) -> dict[int, Tensor]:
    """Targets of the artifact in place, where it differs from the one asked for by its start epochs alone."""
    try:
        manifest = verify(unit.folder, unit.name)
    except RobustddError:
        return {}
    asked = key_of(unit)
    same = {name: value for name, value in manifest.params.items() if name != "starts"}
    if same != {name: value for name, value in asked.params.items() if name != "starts"}:
        return {}
    if (manifest.inputs, manifest.code) != (asked.inputs, asked.code):
        return {}
    with safe_open(unit.folder / f"{unit.name}.safetensors", "pt") as file:
        rows = enumerate(file.get_tensor("starts").tolist())
        targets = file.get_slice("targets")
        return {start: targets[row] for row, start in rows}
