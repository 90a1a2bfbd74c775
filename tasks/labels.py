"""Stage `labels`: the observed, partly wrong labels of a cell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from robustdd.noise import corrupt, realised_rate, transition_matrix
from robustdd.params import Noise, Study
from robustdd.rng import generator
from tasks.caching import cached_task
from tasks.layout import Layout
from tasks.reading import class_names, column, parquet, read_table
from tasks.units import Input, Made, Unit, Work


def waves(study: Study, cell: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit: the labels."""
    images = layout.artifact("images", study.cells[cell].dataset)
    params = {"noise": study.cells[cell].noise}
    yield [Unit(observe.name, layout.place("labels", cell), "labels", params, {"train": Input(images, "train")})]


@cached_task
def observe(unit: Unit, work: Work) -> Made:
    """Corrupt the clean labels; the manifest tells transition matrix, realised rate and a hash of the labels."""
    noise: Noise = unit.params["noise"]
    table = read_table(unit.path("train", "train.parquet"))
    clean, classes = column(table, "clean"), len(class_names(unit))
    matrix = transition_matrix(noise, classes)
    observed = corrupt(clean, matrix, noise.draw, generator("noise", noise.seed))
    notes = {
        "transition_matrix": matrix.tolist(),
        "realised_rate": realised_rate(observed, clean),
        "labels_sha256": hashlib.sha256(observed.numpy().tobytes()).hexdigest(),
    }
    ids, apart = table["id"], table["holdout"]
    return Made({"labels.parquet": parquet(id=ids, observed=observed, clean=clean, holdout=apart)}, notes)
