"""What a run is called in the UI, and the tags by which its runs are found there."""

from __future__ import annotations

from dataclasses import dataclass

from robustdd.params import Noise, Study
from tasks.cache.layout import Layout

OF_CELL = ("labels", "forgetting", "train-full")
OF_VIEW = ("teachers", "consistency", "subset", "finetune")
OF_ROW = ("distill", "evaluate")


@dataclass(frozen=True)
class About:
    """One stage of one id: what it is about in words, its tags, and where its files lie."""

    stage: str
    ident: str
    words: str
    tags: tuple[str, ...]
    layout: Layout

    @property
    def title(self) -> str:
        """Name of the flow run."""
        return f"{self.stage} {self.ident}" + (f": {self.words}" if self.words else "")

    def unit_title(self, unit: str) -> str:
        """Name of the task run of a unit."""
        return f"{unit}: {self.words or self.ident}"


def about(study: Study, stage: str, ident: str, layout: Layout) -> About:
    """Name and tags of a stage whose id the study knows."""
    facts = _facts(study, stage, ident)
    values = [value for name, value in facts.items() if name not in ("ipc", "seed")]
    values += [f"{name.upper() if name == 'ipc' else name} {facts[name]}" for name in ("ipc", "seed") if name in facts]
    words = ", ".join(values)
    tags = (f"study:{study.name}", f"stage:{stage}", f"id:{ident}", *(f"{key}:{value}" for key, value in facts.items()))
    return About(stage, ident, "" if words == ident else words, tags, layout)


def _facts(study: Study, stage: str, ident: str) -> dict[str, str]:
    if stage == "images":
        return {"dataset": ident}
    if stage in OF_CELL:
        return _of_cell(study, ident)
    if stage in OF_VIEW:
        return _of_view(study, ident)
    if stage in OF_ROW:
        row = study.rows[ident]
        return {**_of_view(study, row.view), "method": row.method, "ipc": str(row.ipc), "seed": str(row.seed)}
    return {}


def _of_cell(study: Study, ident: str) -> dict[str, str]:
    cell = study.cells[ident]
    return {"dataset": cell.dataset, "noise": noise_name(cell.noise)}


def _of_view(study: Study, ident: str) -> dict[str, str]:
    view = study.views[ident]
    return {**_of_cell(study, view.cell), "weights": view.weights}


def noise_name(noise: Noise) -> str:
    """A noise in one word: `symmetric-0.4`, `human-worse`, `matrix`, `none`."""
    match noise.kind:
        case "symmetric" | "asymmetric" | "pairflip":
            return f"{noise.kind}-{noise.rate:g}"
        case "human":
            return f"human-{noise.annotation}"
    return noise.kind
