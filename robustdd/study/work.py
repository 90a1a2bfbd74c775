"""How often the expensive steps of a study are taken: counts that follow from params and shapes alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from robustdd.engine.settings import distilling, training
from robustdd.networks.convnet import ConvNet
from robustdd.params import MATCHED, Engine, Study, Teachers, View
from robustdd.study.shapes import Images, network_of
from robustdd.weighting.weights import blend, blend_maxima


@dataclass(frozen=True)
class Step:
    """One kind of step: `gradient` and `student` over a batch, `predict` over a batch, `neighbours` over all images.

    A kind may go on with settings of the engine: `student, compiled, kept`.
    """

    kind: str
    network: ConvNet
    batch: int


@dataclass(frozen=True)
class Work:
    """How often a stage of one id takes a step."""

    stage: str
    ident: str
    step: Step
    count: int


def under(engine: Engine, kind: str) -> str:
    """The kind of a step under settings of the engine; only compiled ones differ, and bfloat16 counts as float32."""
    if engine.compile != "on":
        return kind
    return f"{kind}, compiled, kept" if engine.keep == "on" else f"{kind}, compiled"


def work_of(study: Study, shapes: Mapping[str, Images], device: str) -> list[Work]:
    """Every expensive step of a study on a kind of device; what takes seconds (tables, subset, report) is left out."""
    return [
        *(one for cell in study.grid.forgetting for one in _forgetting(study, cell, _of_cell(study, cell, shapes))),
        *(one for view in study.views for one in _teachers(study, view, _of_view(study, view, shapes), device)),
        *(one for view in study.grid.reliability for one in _consistency(study, view, _of_view(study, view, shapes))),
        *(one for view in study.grid.finetune for one in _finetune(study, view, _of_view(study, view, shapes), device)),
        *(one for row in study.rows for one in _row(study, row, _of_view(study, study.rows[row].view, shapes), device)),
        *(one for cell in study.grid.full for one in _full(study, cell, _of_cell(study, cell, shapes))),
    ]


def _of_cell(study: Study, cell: str, shapes: Mapping[str, Images]) -> Images:
    return shapes[study.cells[cell].dataset]


def _of_view(study: Study, view: str, shapes: Mapping[str, Images]) -> Images:
    return _of_cell(study, study.views[view].cell, shapes)


def _forgetting(study: Study, cell: str, images: Images) -> Iterator[Work]:
    params = study.forgetting
    network, times = network_of(params.network, images), len(params.seeds) * params.epochs
    first, second = images.train // 2, images.train - images.train // 2
    for half in (first, second, second, first):  # both directions: one half, then the other
        yield from _passes("forgetting", cell, "gradient", network, half, params.batch_size, times)
    for watched in (first, first, second, second):
        yield from _passes("forgetting", cell, "predict", network, watched, 1024, times)


def _teachers(study: Study, view: str, images: Images, device: str) -> Iterator[Work]:
    params, network = study.teachers, network_of(study.network, images)
    times = params.num_teachers * params.epochs * _gradients(params)
    kind = under(training(study, view, device), "gradient")
    yield from _passes("teachers", view, kind, network, images.train, params.batch_size, times)
    refreshed = sum(refreshes(params, maximum) for maximum in maxima(study.views[view], params))
    yield from _passes("teachers", view, "predict", network, images.train, 1024, refreshed)
    yield Work("teachers", view, Step("neighbours", network, images.train), refreshed)


def _gradients(params: Teachers) -> int:
    """Gradients a step of the teachers' optimiser: GSAM takes a second one at the perturbed point."""
    return 2 if params.optimizer == "gsam" and params.rho > 0 else 1


def maxima(view: View, params: Teachers) -> tuple[float, ...]:
    """Blend maximum of every teacher of a view."""
    if view.weights in ("sgr", "literal"):
        return blend_maxima(params.num_teachers, params.ladder)
    return ({"knn": 1.0, "fixed": view.blend_maximum or 0.0}.get(view.weights, 0.0),) * params.num_teachers


def refreshes(params: Teachers, maximum: float) -> int:
    """Epochs at whose start a teacher forms its dynamic weights anew."""
    return sum(blend(epoch, params.warmup_share * params.epochs, maximum) > 0 for epoch in range(params.epochs))


def _consistency(study: Study, view: str, images: Images) -> Iterator[Work]:
    network, teachers = network_of(study.network, images), study.teachers.num_teachers
    yield from _passes("consistency", view, "predict", network, images.train, 1024, 2 * teachers)
    yield Work("consistency", view, Step("neighbours", network, images.train), teachers)


def _finetune(study: Study, view: str, images: Images, device: str) -> Iterator[Work]:
    params, network = study.finetune, network_of(study.network, images)
    starts = params.last_start - params.first_start + 1
    times = study.teachers.num_teachers * starts * params.epochs * _gradients(study.teachers)
    rank = study.subset.rule == "rank"
    chosen = math.floor(study.subset.ratio * images.train + 1e-9) if rank else images.train
    kind = under(training(study, view, device), "gradient")
    yield from _passes("finetune", view, kind, network, chosen, study.teachers.batch_size, times)


def _row(study: Study, row: str, images: Images, device: str) -> Iterator[Work]:
    asked, params = study.rows[row], study.evaluate
    recipe, count = study.recipes[asked.recipe], images.classes * asked.ipc
    network = network_of(study.network, images)
    if asked.method in MATCHED:
        kind = under(distilling(study, row, device), "student")
        step = Step(kind, network, min(recipe.batch_size, count))
        yield Work("distill", row, step, recipe.iterations * recipe.inner_steps)
    times = len(params.seeds) * params.epochs
    yield from _passes("evaluate", row, "gradient", network, count, params.batch_size, times)


def _full(study: Study, cell: str, images: Images) -> Iterator[Work]:
    params, network = study.train_full, network_of(study.network, images)
    times = len(params.seeds) * params.epochs
    yield from _passes("train-full", cell, "gradient", network, images.train, params.batch_size, times)
    yield from _passes("train-full", cell, "predict", network, images.test or images.held_out, 1024, times)


def _passes(
    stage: str, ident: str, kind: str, network: ConvNet, samples: int, batch: int, times: int
) -> Iterator[Work]:
    """`times` passes over the samples: full batches, and the last short one."""
    full, rest = divmod(samples, batch)
    for size, count in ((batch, full), (rest, 1 if rest else 0)):
        if count * times:
            yield Work(stage, ident, Step(kind, network, size), count * times)
