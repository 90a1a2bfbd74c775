"""Stage `labels`: the observed, partly wrong labels of a cell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from robustdd.noise.api import counted_matrix, observe, realised_rate
from robustdd.params import Noise, Study
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Made, Unit, Work
from tasks.files import class_names, column, known_column, parquet, read_table


def waves(study: Study, cell: str, layout: Layout) -> Iterator[list[Unit]]:
    """One unit: the labels."""
    images = layout.artifact("images", study.cells[cell].dataset)
    params = {"noise": study.cells[cell].noise}
    yield [Unit(label.name, layout.place("labels", cell), "labels", params, {"train": Input(images, "train")})]


@cached_task("labels.label")
def label(unit: Unit, work: Work) -> Made:
    """Corrupt the clean labels, or take human ones; the manifest tells matrix, rate and a hash of the labels.

    Noise `none` observes the labels as they were given; matrix and rate are then those between them and the clean ones,
    None where nobody knows these. Any other noise takes given labels for clean where no others are known.
    """
    noise: Noise = unit.params["noise"]
    table, names = read_table(unit.path("train", "train.parquet")), class_names(unit)
    given, clean = column(table, "label"), known_column(table, "clean")
    if noise.kind == "none":
        observed, facts = given, {}
        matrix = None if clean is None else counted_matrix(given, clean, len(names))
    else:
        clean = given if clean is None else clean
        made = observe(noise, clean, names, unit.place.layout.study)
        observed, matrix, facts = made.labels, made.matrix, made.facts
    notes = {
        **facts,
        "transition_matrix": None if matrix is None else matrix.tolist(),
        "realised_rate": None if clean is None else realised_rate(observed, clean),
        "labels_sha256": hashlib.sha256(observed.numpy().tobytes()).hexdigest(),
    }
    known = {} if clean is None else {"clean": clean}
    columns = {"id": table["id"], "observed": observed, **known, "holdout": table["holdout"], "used": table["used"]}
    return Made({"labels.parquet": parquet(**columns)}, notes)
