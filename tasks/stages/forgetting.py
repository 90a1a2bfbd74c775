"""Stage `forgetting`: second-split forgetting, both directions for each seed, and the static weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from robustdd.devices import settled
from robustdd.params import Forgetting, Study
from robustdd.weighting.forgetting import forgetting_score, halves, second_split, separation_warning, static_weight
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work
from tasks.files import (
    LabelledImages,
    class_names,
    column,
    network_for,
    parquet,
    read_table,
    run_params,
    training_images,
    training_inputs,
)

log = logging.getLogger("robustdd.run")

DIRECTIONS = ("ab", "ba")


def waves(study: Study, cell: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit a seed and direction, then one that joins them."""
    inputs = training_inputs(study, layout, cell)
    place = layout.place("forgetting", cell)
    training = replace(study.forgetting, seeds=(), learn_share=0.0)
    parts = []
    for seed, direction in product(study.forgetting.seeds, DIRECTIONS):
        params = {"forgetting": training, "seed": seed, "direction": direction, **run_params(study)}
        parts.append(Unit(watch.name, place, f"half-s{seed}-{direction}", params, inputs))
    yield parts
    joined = {part.name: Input(part.folder, part.name) for part in parts}
    values = {"learn_share": study.forgetting.learn_share, "device": settled(study.device)}
    yield [Unit(join.name, place, "forgetting", values, {**inputs, **joined})]


@cached_task("forgetting.watch")
def watch(unit: Unit, work: Work) -> Made:
    """Train on one half, then on the other, and watch when the first half is learnt and forgotten."""
    params: Forgetting = unit.params["forgetting"]
    data, seed = training_images(unit), unit.params["seed"]
    first, second = halves(len(data.ids), seed)
    if unit.params["direction"] == "ba":
        first, second = second, first
    network = network_for(params.network, data.images, len(class_names(unit)))
    record = second_split(network, data.images, data.observed, first, second, params, seed, work.progress)
    columns = {"t_learn": record.learned, "t_forget": record.forgotten, "remembered": record.remembered}
    ids = [data.ids[row] for row in record.rows.tolist()]
    return Made(
        {f"{unit.name}.parquet": parquet(id=ids, **columns)},
        {"first_accuracy": list(record.first_accuracy), "second_accuracy": list(record.second_accuracy)},
    )


@cached_task("forgetting.join")
def join(unit: Unit, work: Work) -> Made:
    """A sample's epochs (mean over the seeds), forgetting score and static weight, in the order of the images.

    The manifest tells which share of the right and of the wrong labels was remembered after the first half: wrong ones
    that were never learnt cannot be forgotten, and the score then separates by difficulty alone.
    """
    data = training_images(unit)
    tables = [read_table(unit.path(label, f"{label}.parquet")) for label in unit.inputs if label.startswith("half-")]
    place = {ident: row for row, ident in enumerate(data.ids)}
    totals = torch.zeros(4, len(data.ids), dtype=torch.float64)
    for table in tables:
        rows = torch.tensor([place[ident] for ident in table["id"].to_pylist()])
        totals[0, rows] += column(table, "t_learn")
        totals[1, rows] += column(table, "t_forget")
        totals[2, rows] += column(table, "remembered")
        totals[3, rows] += 1
    learned, forgotten, remembered = totals[:3] / totals[3]
    score = forgetting_score(learned, forgotten, unit.params["learn_share"])
    weight = static_weight(score)
    columns = {"t_learn": learned, "t_forget": forgotten, "score": score, "static_weight": weight}
    distinct, shares = len(set(weight.tolist())), _remembered(remembered, data)
    warning = separation_warning(distinct, shares.get("remembered_right"), shares.get("remembered_wrong"))
    if warning:
        log.warning("%s: %s", unit.place, warning)
    return Made(
        {"forgetting.parquet": parquet(id=data.ids, **columns)},
        {"distinct_weights": distinct, **shares, "warning": warning},
    )


def _remembered(share: Tensor, data: LabelledImages) -> dict[str, float | None]:
    if data.clean is None:
        return {}
    right = (data.observed == data.clean).cpu()
    groups = {"remembered_right": share[right], "remembered_wrong": share[~right]}
    return {name: float(group.mean()) if len(group) else None for name, group in groups.items()}
