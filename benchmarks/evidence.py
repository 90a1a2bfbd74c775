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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from benchmarks.evidence_table import as_markdown
from robustdd.artifacts import read_manifest, write_atomically
from robustdd.collect import read_runs
from robustdd.convnet import ConvNet
from robustdd.params import Row, Study
from robustdd.schedule import draw_iteration
from robustdd.study import load_study
from robustdd.training import predict
from tasks import finetune as targets
from tasks import teachers
from tasks.layout import Layout
from tasks.producing import commit
from tasks.reading import LabelledImages, class_names, network_for, training_images
from tasks.units import Unit

ROOT = Path(__file__).resolve().parent.parent
LOOKED_AT = 2000
"""Training images, the first of them, on which networks are asked."""
MATCHED = ("datm", "sgr", "ours")
Found = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    asked = parser.parse_args(arguments)
    study, layout = load_study(asked.study), Layout(asked.study.resolve())
    found = record(study, layout)
    folder = asked.out / study.name
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "evidence.json", (json.dumps(found, indent=1, sort_keys=True) + "\n").encode())
    write_atomically(folder / "evidence.md", as_markdown(found).encode())
    return 0


def record(study: Study, layout: Layout) -> Found:
    """Everything that is known of a study beside its accuracies, as JSON."""
    return {
        "name": study.name,
        "commit": commit(),
        "looked_at": LOOKED_AT,
        "views": {view: _view(study, layout, view) for view in study.views},
        "rows": {ident: _row(study, layout, ident, row) for ident, row in study.rows.items()},
        "targets": {view: _targets(study, layout, view) for view in study.grid.finetune},
        "subsets": {
            view: read_manifest(layout.artifact("subset", view), "reliability").notes["subset"]
            for view in study.grid.reliability
        },
        "seconds": {f"{run.stage} {run.id}": run.seconds for run in read_runs(layout.runs())},
    }


def _view(study: Study, layout: Layout, view: str) -> Found:
    """What the teachers of a view know after every epoch, and their blends."""
    (units,) = teachers.waves(study, view, layout)
    data, network = _looked_at(study, units[0])
    blends, remembered = [], []
    for unit in units:
        blends.append(json.loads((unit.folder / f"{unit.name}.json").read_bytes())["blends"])
        with safe_open(unit.folder / f"{unit.name}.safetensors", "pt") as file:
            remembered.append([_knows(network, point, data) for point in file.get_tensor("snapshots")])
    return {
        "weights": study.views[view].weights,
        "cell": study.views[view].cell,
        "blends": blends,
        "epochs": [_mean(same) for same in zip(*remembered, strict=True)],
    }


def _looked_at(study: Study, unit: Unit) -> tuple[LabelledImages, ConvNet]:
    data = training_images(unit)
    return data, network_for(study.network, data.images, len(class_names(unit)))


def _knows(network: ConvNet, parameters: Tensor, data: LabelledImages) -> Found:
    """Shares of rightly labelled images that get their label, and of wrongly labelled ones that get each of theirs."""
    if data.clean is None:
        raise SystemExit("this data set has no clean labels to look at")
    observed, clean = data.observed[:LOOKED_AT], data.clean[:LOOKED_AT]
    said = predict(network, parameters, data.images[:LOOKED_AT]).argmax(1)
    right = observed == clean
    return {
        "right": float((said == observed)[right].double().mean()),
        "wrong_as_observed": float((said == observed)[~right].double().mean()) if (~right).any() else None,
        "wrong_as_clean": float((said == clean)[~right].double().mean()) if (~right).any() else None,
    }


def _mean(same: Sequence[Found]) -> Found:
    return {name: None if same[0][name] is None else statistics.mean(one[name] for one in same) for name in same[0]}


def _row(study: Study, layout: Layout, ident: str, row: Row) -> Found:
    """The first set, the losses, and the blend of the epochs that were matched."""
    folder = layout.artifact("distill", ident)
    found: Found = {"method": row.method, "view": row.view, "seed": row.seed}
    found |= dict(read_manifest(folder, "distilled").notes)
    if row.method in MATCHED:
        curve = json.loads((folder / "curve.json").read_bytes())
        losses, tenth = curve["losses"], max(1, len(curve["losses"]) // 10)
        found |= {"first_loss": statistics.mean(losses[:tenth]), "last_loss": statistics.mean(losses[-tenth:])}
        found["matched_blend"] = statistics.mean(_matched(study, layout, row))
    return found


def _matched(study: Study, layout: Layout, row: Row) -> Iterator[float]:
    """The blend of every epoch of a teacher that an iteration read, iteration after iteration."""
    recipe, count = study.recipes[row.recipe], study.teachers.num_teachers
    folder = layout.artifact("teachers", row.view)
    blends = [json.loads((folder / f"teacher-{index:03d}.json").read_bytes())["blends"] for index in range(count)]
    for index in range(recipe.iterations):
        drawn = draw_iteration(recipe, count, torch.zeros(recipe.batch_size, 1, 1, 1), row.seed, index)
        yield from blends[drawn.teacher][drawn.start_epoch : drawn.start_epoch + recipe.teacher_epochs]


def _targets(study: Study, layout: Layout, view: str) -> Found:
    """How far the clean targets lie from the teachers' own, and what each of the two remembers."""
    (units,) = targets.waves(study, view, layout)
    data, network = _looked_at(study, units[0])
    length = next(study.recipes[row.recipe].teacher_epochs for row in study.rows.values() if row.view == view)
    each: list[Found] = []
    for unit in units:
        with safe_open(unit.path("teacher", f"teacher-{unit.params['index']:03d}.safetensors"), "pt") as file:
            snapshots = file.get_tensor("snapshots")
        with safe_open(unit.folder / f"{unit.name}.safetensors", "pt") as file:
            starts, cleaned = file.get_tensor("starts").tolist(), file.get_tensor("targets")
        for start, target in zip(starts, cleaned, strict=True):
            own, begun = snapshots[start + length], snapshots[start]
            cosine = F.cosine_similarity(target - begun, own - begun, 0)
            each.append(
                {
                    "distance": float((target - own).norm() / (own - begun).norm()),
                    "length": float((target - begun).norm() / (own - begun).norm()),
                    "cosine": float(cosine),
                    **{f"clean_{name}": value for name, value in _knows(network, target, data).items()},
                    **{f"own_{name}": value for name, value in _knows(network, own, data).items()},
                }
            )
    return {"count": len(each), **_mean(each)}


if __name__ == "__main__":
    sys.exit(main())
