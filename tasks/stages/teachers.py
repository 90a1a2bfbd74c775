"""Stage `teachers`: the P teachers of a view, each under its own blend of static and dynamic weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from robustdd.engine.settings import training
from robustdd.errors import UserError
from robustdd.params import Neighbours, Study, Teachers, View
from robustdd.trajectories.teachers import train_teacher
from robustdd.weighting.weights import blend_maxima
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work
from tasks.files import (
    LabelledImages,
    class_names,
    column,
    json_file,
    network_for,
    read_table,
    run_params,
    tensors_file,
    training_images,
    training_inputs,
)

WITHOUT_STATIC_WEIGHTS = ("plain", "oracle")


def waves(study: Study, view: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit a teacher."""
    cell, weights = study.views[view].cell, study.views[view].weights
    inputs = training_inputs(study, layout, cell)
    if weights not in WITHOUT_STATIC_WEIGHTS:
        inputs["forgetting"] = Input(layout.artifact("forgetting", cell), "forgetting")
    maxima = maxima_of(study.views[view], study.teachers)
    params = [teacher_params(study, view, index, maximum) for index, maximum in enumerate(maxima)]
    yield [
        Unit(train.name, layout.place("teachers", view), f"teacher-{index:03d}", values, inputs)
        for index, values in enumerate(params)
    ]


def maxima_of(view: View, teachers: Teachers) -> tuple[float, ...]:
    """Blend maximum of every teacher of a view."""
    count = teachers.num_teachers
    if view.weights in ("sgr", "literal"):
        return blend_maxima(count, teachers.ladder)
    fixed = {"knn": 1.0, "fixed": view.blend_maximum or 0.0}
    return (fixed.get(view.weights, 0.0),) * count


def teacher_params(study: Study, view: str, index: int, maximum: float) -> dict[str, Any]:
    """What one teacher of a view depends on: not P, nor the neighbours where its blend is 0."""
    weights, run = study.views[view].weights, run_params(study)
    return {
        "teachers": replace(study.teachers, num_teachers=1, ladder="paper"),
        "network": study.network,
        "neighbours": study.neighbours if maximum > 0 else None,
        "static": weights if weights in WITHOUT_STATIC_WEIGHTS else "forgetting",
        "normalise": weights != "literal",
        "blend_maximum": maximum,
        "index": index,
        "engine": training(study, view, str(run["device"])),
        **run,
    }


@cached_task("teachers.train")
def train(unit: Unit, work: Work) -> Made:
    """Train one teacher and keep its parameters before the first and after every epoch."""
    data, params = training_images(unit), unit.params
    network = network_for(params["network"], data.images, len(class_names(unit)))
    teacher = train_teacher(
        network,
        data.images,
        data.observed,
        _static(unit, data),
        params["blend_maximum"],
        params["normalise"],
        params["teachers"],
        params["neighbours"] or Neighbours(),
        params["index"],
        work.checkpoints,
        work.progress,
        params["engine"],
    )
    curves = {"losses": list(teacher.losses), "blends": list(teacher.blends)}
    return Made(
        {
            f"{unit.name}.safetensors": tensors_file(snapshots=teacher.snapshots),
            f"{unit.name}.json": json_file(curves),
        }
    )


def _static(unit: Unit, data: LabelledImages) -> Tensor:
    match unit.params["static"]:
        case "plain":
            return torch.ones(len(data.ids), device=data.images.device)
        case "oracle":
            if data.clean is None:
                raise UserError(f"{unit.place}: weights oracle need clean labels, which this data set has not")
            return (data.clean == data.observed).to(torch.float32)
    weights = column(read_table(unit.path("forgetting", "forgetting.parquet")), "static_weight")
    return weights.to(data.images.device, torch.float32)
