"""Why a study's rows stand where they stand: what its teachers remember, how their weights were blended, what it cost.

`python -m benchmarks.evidence STUDY` reads the artifacts of a study that has run and writes evidence.json and .md into
results/NAME, beside the tables that `python -m robustdd table STUDY --save results` puts there. Clean labels are looked
at here, as nothing in training does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.evidence_draws import over_draws
from benchmarks.evidence_networks import LOOKED_AT, clean_targets, knowledge
from benchmarks.evidence_spread import spreads
from benchmarks.evidence_table import as_markdown
from robustdd.distillation.sampling import draw_iteration
from robustdd.params import MATCHED, Row, Study, Subset
from robustdd.reporting.collect import read_runs
from robustdd.reporting.records import RowAccuracy
from robustdd.store.artifacts import read_manifest, write_atomically
from robustdd.store.provenance import commit
from robustdd.study.load import load_study
from robustdd.weighting.reliability import reliable_subset
from tasks.cache.layout import Layout
from tasks.files import column, known_column, read_table

ROOT = Path(__file__).resolve().parent.parent
RATIOS = (0.4, 0.5, 0.6, 0.7)
"""Sizes of the subsets that other rules are asked for."""
Found = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    parser.add_argument(
        "--also", type=Path, action="append", default=[], help="a study that made some of its artifacts"
    )
    asked = parser.parse_args(arguments)
    study, layout = load_study(asked.study), Layout(asked.study.resolve())
    found = record(study, layout, [Layout(other.resolve()) for other in asked.also])
    folder = asked.out / study.name
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "evidence.json", (json.dumps(found, indent=1) + "\n").encode())
    write_atomically(folder / "evidence.md", as_markdown(found).encode())
    return 0


def record(study: Study, layout: Layout, others: Sequence[Layout] = ()) -> Found:
    """Everything that is known of a study beside its accuracies, as JSON.

    What a study among `others` made and this one found cached has its seconds there.
    """
    accuracies = [RowAccuracy.from_json(layout.artifact("evaluate", row) / "accuracy.json") for row in study.rows]
    return {
        "name": study.name,
        "commit": commit(),
        "looked_at": LOOKED_AT,
        "views": {view: knowledge(study, layout, view) for view in study.views},
        "rows": {ident: _row(study, layout, ident, row) for ident, row in study.rows.items()},
        "targets": {view: clean_targets(study, layout, view) for view in study.grid.finetune},
        "draws": list(over_draws(study, accuracies)),
        "spreads": spreads(study, accuracies),
        "subsets": {view: _subsets(study, layout, view) for view in study.grid.reliability},
        "seconds": {
            f"{run.stage} {run.id}": run.seconds
            for place in (*others, layout)
            for run in read_runs(place.runs())
            if place is layout or _same_artifacts(layout, place, run.stage, run.id)
        },
    }


def _same_artifacts(layout: Layout, other: Layout, stage: str, ident: str) -> bool:
    """Whether both studies have the same artifacts of a stage, key by key."""
    keys = [
        {path.name: json.loads(path.read_bytes())["key"] for path in one.artifact(stage, ident).glob("*.manifest.json")}
        for one in (layout, other)
    ]
    return keys[0] == keys[1] != {}


def _row(study: Study, layout: Layout, ident: str, row: Row) -> Found:
    """The first set, the losses, and the blend of the epochs that were matched.

    Losses of late starts are not those of early ones, and the range of starts grows: both losses are means over ten
    iterations that began within the first range.
    """
    folder = layout.artifact("distill", ident)
    found: Found = {"method": row.method, "view": row.view, "seed": row.seed}
    found |= dict(read_manifest(folder, "distilled").notes)
    if row.method in MATCHED:
        curve = json.loads((folder / "curve.json").read_bytes())
        recipe, drawn = study.recipes[row.recipe], _drawn(study, row)
        early = [loss for loss, one in zip(curve["losses"], drawn, strict=True) if one[1] < recipe.first_max_start]
        found |= {"first_loss": statistics.mean(early[:10]), "last_loss": statistics.mean(early[-10:])}
        found["matched_blend"] = statistics.mean(_matched(study, layout, row, drawn))
        found["steps_times_rate"] = recipe.inner_steps * found["learning_rate"]
    return found


def _drawn(study: Study, row: Row) -> list[tuple[int, int]]:
    """Teacher and start epoch of every iteration."""
    recipe, batch = study.recipes[row.recipe], torch.zeros(study.recipes[row.recipe].batch_size, 1, 1, 1)
    draws = [
        draw_iteration(recipe, study.teachers.num_teachers, batch, row.seed, index)
        for index in range(recipe.iterations)
    ]
    return [(drawn.teacher, drawn.start_epoch) for drawn in draws]


def _matched(study: Study, layout: Layout, row: Row, drawn: Iterable[tuple[int, int]]) -> Iterator[float]:
    """The blend of every epoch of a teacher that an iteration read, iteration after iteration."""
    folder, count = layout.artifact("teachers", row.view), study.teachers.num_teachers
    blends = [json.loads((folder / f"teacher-{index:03d}.json").read_bytes())["blends"] for index in range(count)]
    for teacher, start in drawn:
        yield from blends[teacher][start : start + study.recipes[row.recipe].teacher_epochs]


def _subsets(study: Study, layout: Layout, view: str) -> list[Found]:
    """Size and purity of the subset that was used, and of those that other rules would have chosen."""
    table = read_table(layout.artifact("subset", view) / "reliability.parquet")
    static, variance = (column(table, name) for name in ("static", "variance"))
    observed, clean = column(table, "observed"), known_column(table, "clean")
    if clean is None:
        raise SystemExit("this data set has no clean labels to look at")
    chosen = {"used": column(table, "in_subset")}
    ids = table["id"].to_pylist()
    chosen |= {f"rank, ratio {ratio}": reliable_subset(static, variance, ids, Subset(ratio=ratio)) for ratio in RATIOS}
    for ratio in RATIOS:
        best = static.argsort(descending=True, stable=True)[: int(ratio * len(ids))]
        chosen[f"highest static weights, {ratio}"] = torch.zeros(len(ids), dtype=torch.bool).index_fill(0, best, True)
    right = observed == clean
    return [
        {"rule": rule, "share": float(mask.double().mean()), "purity": float(right[mask].double().mean())}
        for rule, mask in chosen.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
