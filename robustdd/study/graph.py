"""The stages of a study, once: what their ids are, which ones they run for, what they read, what the UI calls them.

`dvc.yaml` says the same in DVC's words, and a test holds it to this.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from robustdd.errors import UserError
from robustdd.params import Noise, Study
from robustdd.study.load import look_up
from robustdd.study.rules import is_id
from robustdd.study.study_file import one_line, unknown

Place = tuple[str, str]
"""A stage and an id."""


@dataclass(frozen=True)
class Stage:
    """One kind of stage of a study."""

    of: str
    """What its ids are: dataset, cell, view, row or report."""
    ids: Callable[[Study], Collection[str]]
    """Those that it runs for."""
    reads: Callable[[Study, str], Iterable[Place]]
    """The stages whose artifacts it reads for an id; what these read, such as images, is not told again."""
    resumed: Callable[[Study], Collection[str]] | None = None
    """Names of its units that keep checkpoints; None: not known before it runs."""


STAGES = {
    "images": Stage("dataset", lambda study: study.datasets, lambda study, dataset: ()),
    "labels": Stage("cell", lambda study: study.cells, lambda study, cell: [("images", study.cells[cell].dataset)]),
    "forgetting": Stage("cell", lambda study: study.grid.forgetting, lambda study, cell: [("labels", cell)]),
    "teachers": Stage(
        "view",
        lambda study: study.views,
        lambda study, view: [(source, study.views[view].cell) for source in ("labels", study.views[view].weights_from)],
        lambda study: [f"teacher-{index:03d}" for index in range(study.teachers.num_teachers)],
    ),
    "consistency": Stage("view", lambda study: study.grid.reliability, lambda study, view: [("teachers", view)]),
    "subset": Stage(
        "view",
        lambda study: study.grid.reliability,
        lambda study, view: [("consistency", view), ("forgetting", study.views[view].cell)],
    ),
    "finetune": Stage(
        "view", lambda study: study.grid.finetune, lambda study, view: [("teachers", view), ("subset", view)]
    ),
    "distill": Stage(
        "row",
        lambda study: study.rows,
        lambda study, row: [(source, study.rows[row].view) for source in ("teachers", study.rows[row].targets)],
        lambda study: ["distilled"],
    ),
    "train-full": Stage("cell", lambda study: study.grid.full, lambda study, cell: [("labels", cell)]),
    "evaluate": Stage("row", lambda study: study.rows, lambda study, row: [("distill", row)]),
    "report": Stage("report", lambda study: (study.name,), lambda study, name: places(study)[:-1]),
}
"""By name, in an order in which they can run."""


def places(study: Study) -> list[Place]:
    """Every stage with every id that it runs for, in an order in which they can run."""
    return [(name, ident) for name, stage in STAGES.items() for ident in stage.ids(study)]


def needs(study: Study) -> dict[Place, frozenset[Place]]:
    """Every place of a study with those whose artifacts it reads."""
    return {(name, ident): frozenset(STAGES[name].reads(study, ident)) for name, ident in places(study)}


def require_id(study: Study, stage: str, ident: str) -> None:
    """Raise UserError unless the stage of that name runs for `ident` in this study."""
    if not is_id(ident):
        raise UserError(one_line(f"id {ident!r} is not allowed; expected a-z, 0-9 and '-', at most 61"))
    kind = look_up(STAGES, "stage", stage)
    known = kind.ids(study)
    if ident not in known:
        raise UserError(one_line(f"{stage}: {unknown(kind.of, ident, known)}"))


def words(study: Study, place: Place) -> str:
    """What a stage is about: `digits, symmetric-0.4, sgr, ours, IPC 1, seed 0`; empty where its id says it."""
    facts = _facts(study, *place)
    forms = {"ipc": "IPC {}", "seed": "seed {}"}
    told = ", ".join(forms.get(name, "{}").format(fact) for name, fact in facts.items())
    return "" if told == place[1] else told


def tags(study: Study, place: Place) -> tuple[str, ...]:
    """Tags by which the runs of a stage are found in the UI."""
    facts = {"study": study.name, "stage": place[0], "id": place[1], **_facts(study, *place)}
    return tuple(f"{name}:{fact}" for name, fact in facts.items())


def _facts(study: Study, stage: str, ident: str) -> dict[str, str]:
    kind, facts = STAGES[stage].of, {}
    if kind == "row":
        row = study.rows[ident]
        kind, ident, facts = "view", row.view, {"method": row.method, "ipc": str(row.ipc), "seed": str(row.seed)}
    if kind == "view":
        view = study.views[ident]
        kind, ident, facts = "cell", view.cell, {"weights": view.weights, **facts}
    if kind == "cell":
        cell = study.cells[ident]
        kind, ident, facts = "dataset", cell.dataset, {"noise": noise_name(cell.noise), **facts}
    return {"dataset": ident, **facts} if kind == "dataset" else {}


def noise_name(noise: Noise) -> str:
    """A noise in one word: `symmetric-0.4`, `human-worse`, `matrix`, `none`."""
    match noise.kind:
        case "symmetric" | "asymmetric" | "pairflip":
            return f"{noise.kind}-{noise.rate:g}"
        case "human":
            return f"human-{noise.annotation}"
    return noise.kind
