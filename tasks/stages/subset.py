"""Stage `subset`: what the teachers' weights say of every sample together, and the reliable subset."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from robustdd.evaluation.confident import confident_margin
from robustdd.evaluation.label_errors import detection_by_class, detection_scores, subset_quality
from robustdd.evaluation.small_loss import small_loss
from robustdd.params import Study
from robustdd.weighting.reliability import confidence_variance, mean_confidence, reliable_subset
from robustdd.weighting.weights import blended_weight
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work
from tasks.files import column, known_column, parquet, read_table

log = logging.getLogger("robustdd.run")


@dataclass(frozen=True)
class _Labels:
    """Labels int64 [n] of the images outside the hold-out; no stage needs the images themselves to weigh them."""

    ids: list[str]
    observed: Tensor
    clean: Tensor | None


def waves(study: Study, view: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit: the reliability of every sample."""
    cell, consistency = study.views[view].cell, layout.artifact("consistency", view)
    parts = [f"consistency-{index:03d}" for index in range(study.teachers.num_teachers)]
    inputs = {
        "labels": Input(layout.artifact("labels", cell), "labels"),
        "forgetting": Input(layout.artifact("forgetting", cell), "forgetting"),
        **{part: Input(consistency, part) for part in parts},
    }
    yield [Unit(aggregate.name, layout.place("subset", view), "reliability", {"subset": study.subset}, inputs)]


@cached_task("subset.aggregate")
def aggregate(unit: Unit, work: Work) -> Made:
    """Final weights of every teacher (raw, as the paper writes them), their mean and variance, and the subset."""
    data = _labels(unit)
    static = column(read_table(unit.path("forgetting", "forgetting.parquet")), "static_weight").to(torch.float64)
    tables = [read_table(unit.path(part, f"{part}.parquet")) for part in unit.inputs if part.startswith("consistency-")]
    dynamic = torch.stack([column(table, "dynamic_weight").to(torch.float64) for table in tables])
    blends = [float(column(table, "blend")[0]) for table in tables]
    final = torch.stack([blended_weight(static, part, blend) for part, blend in zip(dynamic, blends, strict=True)])
    mean, variance = mean_confidence(final), confidence_variance(final)
    if not bool(variance.any()):
        log.warning("%s: all teachers weigh a sample alike; the subset follows the static weights alone", unit.place)
    chosen = reliable_subset(static, variance, data.ids, unit.params["subset"])
    log_probability = torch.stack([column(table, "log_probability").to(torch.float64) for table in tables])
    columns = {
        "static": static,
        "dynamic": dynamic[-1],
        "dynamic_mean": dynamic.mean(0),
        "mean": mean,
        "small_loss": small_loss(log_probability),
        "confident": confident_margin(log_probability.exp().mean(0), data.observed),
    }
    table = parquet(
        id=data.ids,
        observed=data.observed,
        **({} if data.clean is None else {"clean": data.clean}),
        **columns,
        variance=variance,
        **{f"weight_{index:03d}": weight for index, weight in enumerate(final)},
        in_subset=chosen,
    )
    return Made({"reliability.parquet": table}, _quality(columns, chosen, data))


def _labels(unit: Unit) -> _Labels:
    table = read_table(unit.path("labels", "labels.parquet"))
    kept = column(table, "used")
    ids = [ident for ident, inside in zip(table["id"].to_pylist(), kept.tolist(), strict=True) if inside]
    clean = known_column(table, "clean")
    return _Labels(ids, column(table, "observed")[kept], None if clean is None else clean[kept])


def _quality(weights: Mapping[str, Tensor], chosen: Tensor, data: _Labels) -> dict[str, Any]:
    """What the subset is made of and, where the clean labels are known, the scores of every weight."""
    observed = data.observed
    if data.clean is None:
        return {"subset": asdict(subset_quality(chosen, None, observed, int(observed.max()) + 1))}
    right, classes = observed == data.clean, int(torch.maximum(observed, data.clean).max()) + 1
    scores = {name: asdict(detection_scores(weight, right)) for name, weight in weights.items()}
    by_class = {name: detection_by_class(weight, right, observed, classes) for name, weight in weights.items()}
    return {
        "subset": asdict(subset_quality(chosen, right, observed, classes)),
        "detection": scores,
        "detection_by_class": {name: [asdict(score) for score in found] for name, found in by_class.items()},
    }
