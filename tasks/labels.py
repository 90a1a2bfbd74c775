"""Stage `labels`: the observed, partly wrong labels of a cell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from robustdd.noise import observe, realised_rate
from robustdd.params import Noise, Study
from tasks.caching import cached_task
from tasks.layout import Layout
from tasks.reading import class_names, column, parquet, read_table
from tasks.units import Input, Made, Unit, Work


def waves(study: Study, cell: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit: the labels."""
    images = layout.artifact("images", study.cells[cell].dataset)
    params = {"noise": study.cells[cell].noise}
    yield [Unit(label.name, layout.place("labels", cell), "labels", params, {"train": Input(images, "train")})]


@cached_task
def label(unit: Unit, work: Work) -> Made:
    """Corrupt the clean labels, or take human ones; the manifest tells matrix, rate and a hash of the labels."""
    noise: Noise = unit.params["noise"]
    table = read_table(unit.path("train", "train.parquet"))
    clean = column(table, "clean")
    observed = observe(noise, clean, class_names(unit), unit.place.layout.study)
    notes = {
        **observed.facts,
        "transition_matrix": observed.matrix.tolist(),
        "realised_rate": realised_rate(observed.labels, clean),
        "labels_sha256": hashlib.sha256(observed.labels.numpy().tobytes()).hexdigest(),
    }
    ids, apart = table["id"], table["holdout"]
    return Made({"labels.parquet": parquet(id=ids, observed=observed.labels, clean=clean, holdout=apart)}, notes)
