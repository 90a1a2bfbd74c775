"""Stage `consistency`: every teacher's dynamic weights, from its snapshot at the start of the last epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator

from safetensors import safe_open

from robustdd.evaluation.likelihood import observed_log_probability
from robustdd.params import Study
from robustdd.weighting.consistency import consistency
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work
from tasks.files import class_names, network_for, parquet, run_params, training_images, training_inputs


def waves(study: Study, view: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit a teacher, the one whose blend is 0 included."""
    inputs = training_inputs(study, layout, study.views[view].cell)
    params = {"network": study.network, "neighbours": study.neighbours, **run_params(study)}
    teachers = layout.artifact("teachers", view)
    place, units = layout.place("consistency", view), []
    for index in range(study.teachers.num_teachers):
        taught = {**inputs, "teacher": Input(teachers, f"teacher-{index:03d}")}
        units.append(Unit(weigh.name, place, f"consistency-{index:03d}", {**params, "index": index}, taught))
    yield units


@cached_task("consistency.weigh")
def weigh(unit: Unit, work: Work) -> Made:
    """Dynamic weight of every sample under one teacher, with the blend of that teacher's last epoch.

    Beside it, for the peers: the log-probability of the observed label under the teacher as it ended.
    """
    data, index = training_images(unit), unit.params["index"]
    network = network_for(unit.params["network"], data.images, len(class_names(unit)))
    blends = json.loads(unit.path("teacher", f"teacher-{index:03d}.json").read_bytes())["blends"]
    with safe_open(unit.path("teacher", f"teacher-{index:03d}.safetensors"), "pt") as file:
        start_of_last_epoch, end = file.get_slice("snapshots")[len(blends) - 1 :].to(data.images.device)
    weight = consistency(network, start_of_last_epoch, data.images, data.observed, unit.params["neighbours"])
    log_probability = observed_log_probability(network, end, data.images, data.observed)
    count = len(data.ids)
    columns = {"id": data.ids, "teacher": [index] * count, "dynamic_weight": weight, "blend": [blends[-1]] * count}
    columns["log_probability"] = log_probability
    return Made({f"{unit.name}.parquet": parquet(**columns)})
