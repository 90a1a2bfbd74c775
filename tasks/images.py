"""Stage `images`: the data set, read and verified once, and its whitening."""

from __future__ import annotations

from collections.abc import Iterator

from safetensors.torch import load_file

from robustdd.datasets import read
from robustdd.errors import UserError
from robustdd.holdout import draw_holdout
from robustdd.params import Dataset, Study
from robustdd.whitening import fit
from tasks.caching import cached_task
from tasks.layout import Layout
from tasks.reading import column, json_file, parquet, read_table, tensors_file
from tasks.units import Input, Made, Unit, Work


def waves(study: Study, dataset: str, layout: Layout) -> Iterator[list[Unit]]:
    """The training and the test images, then the whitening fitted on the training images."""
    params = {"dataset": study.datasets[dataset]}
    place = layout.place("images", dataset)
    yield [
        Unit(read_train.name, place, "train", params),
        Unit(read_test.name, place, "test", params),
    ]
    inputs = {"train": Input(layout.artifact("images", dataset), "train")}
    whitening = {"kind": study.datasets[dataset].whitening, "epsilon": study.datasets[dataset].zca_epsilon}
    yield [Unit(fit_whitening.name, place, "whitening", whitening, inputs)]


@cached_task
def read_train(unit: Unit, work: Work) -> Made:
    """Training images uint8, their ids, clean labels and hold-out mark, and the names of the classes."""
    params: Dataset = unit.params["dataset"]
    train = read(params).train
    apart = draw_holdout(len(train.ids), params.holdout, params.split_seed)
    return Made(
        {
            "train.safetensors": tensors_file(images=train.images),
            "train.parquet": parquet(id=train.ids, clean=train.labels, holdout=apart),
            "classes.json": json_file(train.class_names),
        },
        {"images": len(train.ids), "holdout": int(apart.sum())},
    )


@cached_task
def read_test(unit: Unit, work: Work) -> Made:
    """Test images uint8 and their clean labels, in a file that only `evaluate` and `train-full` read."""
    test = read(unit.params["dataset"]).test
    if test is None:
        raise UserError(f"{unit.place}: the data set has no test images")
    return Made({"test.safetensors": tensors_file(images=test.images, labels=test.labels)}, {"images": len(test.ids)})


@cached_task
def fit_whitening(unit: Unit, work: Work) -> Made:
    """Whitening of the training images outside the hold-out."""
    images = load_file(unit.path("train", "train.safetensors"))["images"]
    kept = ~column(read_table(unit.path("train", "train.parquet")), "holdout")
    fitted = fit(images[kept], unit.params["kind"], unit.params["epsilon"])
    return Made({"whitening.safetensors": tensors_file(**fitted.tensors())})
