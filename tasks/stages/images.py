"""Stage `images`: the data set, read and verified once, and its whitening."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from safetensors.torch import load_file

from robustdd.data.read import Absent, Source, fingerprint, open_source
from robustdd.data.split import draw_holdout, draw_used
from robustdd.data.whitening import fit
from robustdd.errors import CorruptArtifact, RobustddError, UserError
from robustdd.params import Dataset, Study
from robustdd.store.verifying import read_manifest
from tasks.cache.cache import cached_task
from tasks.cache.layout import Layout, Place
from tasks.cache.unit import Input, Made, Unit, Work
from tasks.files import column, json_file, parquet, read_table, tensors_file

log = logging.getLogger("robustdd.run")


def waves(study: Study, dataset: str, layout: Layout) -> Iterator[list[Unit]]:
    """The training images and, where there are some, the test images; then the whitening of the training images."""
    asked, place = study.datasets[dataset], layout.place("images", dataset)
    # What the pixels do not depend on is left out of their keys.
    reading = replace(asked, whitening=Dataset.whitening, zca_epsilon=Dataset.zca_epsilon)
    found = _found(asked, place)
    parts = [Unit(read_train.name, place, "train", {"dataset": reading, "source": found})]
    if asked.test_set:
        params = {"dataset": replace(reading, holdout=0.0, train_share=None), "source": found}
        parts.append(Unit(read_test.name, place, "test", params))
    yield parts
    inputs = {"train": Input(place.folder, "train")}
    yield [
        Unit(fit_whitening.name, place, "whitening", {"kind": asked.whitening, "epsilon": asked.zca_epsilon}, inputs)
    ]


def _found(params: Dataset, place: Place) -> str:
    """Fingerprint of the data. Where the data is not on this machine, that of the data which the artifact came from."""
    try:
        return fingerprint(open_source(params, place.layout.study))
    except Absent as absent:
        try:
            known = read_manifest(place.folder, "train").params.get("source")
        except CorruptArtifact:
            raise absent from None
        if not isinstance(known, str):
            raise
        log.warning("%s: %s; the artifact that was made of it stands", place, absent)
        return known


def _opened(unit: Unit) -> Source:
    source = open_source(unit.params["dataset"], unit.place.layout.study)
    if fingerprint(source) != unit.params["source"]:
        raise RobustddError(f"{unit.place}: its files changed meanwhile; run again")
    return source


@cached_task("images.read_train")
def read_train(unit: Unit, work: Work) -> Made:
    """Training images uint8; ids, labels, clean labels where known, whether held out or trained on; class names."""
    params: Dataset = unit.params["dataset"]
    train = _opened(unit).train()
    apart = draw_holdout(len(train), params.holdout, params.split_seed)
    if not params.test_set and not apart.any():
        raise UserError(
            f"{unit.place}: holdout {params.holdout} of {len(train)} images is none; expected a larger share"
        )
    used = draw_used(len(train), params)
    known = {} if train.clean is None else {"clean": train.clean}
    return Made(
        {
            "train.safetensors": tensors_file(images=train.images),
            "train.parquet": parquet(id=train.ids, label=train.labels, **known, holdout=apart, used=used),
            "classes.json": json_file(train.class_names),
        },
        {"images": len(train), "holdout": int(apart.sum()), "used": int(used.sum())},
    )


@cached_task("images.read_test")
def read_test(unit: Unit, work: Work) -> Made:
    """Test images uint8 and their labels, in a file that only `evaluate` and `train-full` read."""
    test = _opened(unit).test()
    if test is None:
        raise UserError(f"{unit.place}: the data set has no test images")
    return Made({"test.safetensors": tensors_file(images=test.images, labels=test.labels)}, {"images": len(test)})


@cached_task("images.fit_whitening")
def fit_whitening(unit: Unit, work: Work) -> Made:
    """Whitening of the images that are trained on."""
    images = load_file(unit.path("train", "train.safetensors"))["images"]
    kept = column(read_table(unit.path("train", "train.parquet")), "used")
    fitted = fit(images[kept], unit.params["kind"], unit.params["epsilon"])
    return Made({"whitening.safetensors": tensors_file(**fitted.tensors())})
