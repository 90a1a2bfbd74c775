"""Stage `subset`: what the teachers' weights say of every sample together, and the reliable subset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from robustdd.detection import detection_scores
from robustdd.params import Study
from robustdd.reliability import confidence_variance, mean_confidence, reliable_subset
from robustdd.weights import blended_weight
from tasks.caching import cached_task
from tasks.layout import Layout
from tasks.reading import column, parquet, read_table, training_images, training_inputs
from tasks.units import Input, Made, Unit, Work


def waves(study: Study, view: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit: the reliability of every sample."""
    cell, consistency = study.views[view].cell, layout.artifact("consistency", view)
    parts = [f"consistency-{index:03d}" for index in range(study.teachers.num_teachers)]
    inputs = {
        **training_inputs(study, layout, cell),
        "forgetting": Input(layout.artifact("forgetting", cell), "forgetting"),
        **{part: Input(consistency, part) for part in parts},
    }
    params = {"subset": study.subset, "device": "cpu"}
    yield [Unit(aggregate.name, layout.place("subset", view), "reliability", params, inputs)]


@cached_task
def aggregate(unit: Unit, work: Work) -> Made:
    """Final weights of every teacher (raw, as the paper writes them), their mean and variance, and the subset."""
    data = training_images(unit)
    static = column(read_table(unit.path("forgetting", "forgetting.parquet")), "static_weight").to(torch.float64)
    tables = [read_table(unit.path(part, f"{part}.parquet")) for part in unit.inputs if part.startswith("consistency-")]
    dynamic = torch.stack([column(table, "dynamic_weight").to(torch.float64) for table in tables])
    blends = [float(column(table, "blend")[0]) for table in tables]
    final = torch.stack([blended_weight(static, part, blend) for part, blend in zip(dynamic, blends, strict=True)])
    mean, variance = mean_confidence(final), confidence_variance(final)
    chosen = reliable_subset(static, variance, data.ids, unit.params["subset"])
    columns = {"static": static, "dynamic": dynamic[-1], "dynamic_mean": dynamic.mean(0), "mean": mean}
    table = parquet(
        id=data.ids,
        observed=data.observed,
        clean=data.clean,
        **columns,
        variance=variance,
        **{f"weight_{index:03d}": weight for index, weight in enumerate(final)},
        in_subset=chosen,
    )
    return Made({"reliability.parquet": table}, _quality(columns, chosen, data.observed == data.clean))


def _quality(weights: dict[str, Tensor], chosen: Tensor, right: Tensor) -> dict[str, Any]:
    scores = {name: detection_scores(weight, right) for name, weight in weights.items()}
    return {
        "subset_size": int(chosen.sum()),
        "subset_purity": float(right[chosen].double().mean()),
        "label_purity": float(right.double().mean()),
        "auroc": {name: score.auroc for name, score in scores.items()},
        "average_precision": {name: score.average_precision for name, score in scores.items()},
    }
