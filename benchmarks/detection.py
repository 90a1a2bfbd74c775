"""Does the weighting find wrong labels? Runs a study without rows, cell after cell, and keeps every score.

`python -m benchmarks.detection` brings studies/detection up to date (the images are found under ROBUSTDD_DATA; what is
cached is not run again, so that a run which was cut off goes on) and writes results/detection.json and .md after every
view; `--table` writes the .md alone. cleanlab, which no stage needs, looks at the same teachers here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from benchmarks.detection_table import as_markdown
from flows.stage import run_stage
from robustdd.networks.training import predict
from robustdd.params import Study
from robustdd.store.artifacts import read_manifest, write_atomically
from robustdd.study.load import load_study, params_of
from tasks.cache.layout import Layout
from tasks.cache.unit import Unit
from tasks.files import class_names, network_for, training_images
from tasks.stages import consistency

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, default=ROOT / "studies" / "detection")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "detection.json")
    parser.add_argument("--workers", type=int, default=1, help="tasks at once, each on the study's threads")
    parser.add_argument("--table", action="store_true", help="only write the table")
    asked = parser.parse_args(arguments)
    known = {run["key"]: run for run in json.loads(asked.out.read_bytes())} if asked.out.exists() else {}
    if asked.table:
        write_atomically(asked.out.with_suffix(".md"), as_markdown(list(known.values())).encode())
        return 0
    study, layout = load_study(asked.study), Layout(asked.study.resolve())
    runs = []
    for view in study.grid.reliability:
        started = time.monotonic()
        for stage, ident in _stages(study, view):
            run_stage(stage, ident, asked.study, asked.workers)
        key = read_manifest(layout.artifact("subset", view), "reliability").key
        runs.append(known.get(key) or {"key": key, **record(study, layout, view)})
        print(f"{view}: {time.monotonic() - started:.0f} s", flush=True)
        asked.out.parent.mkdir(exist_ok=True)
        write_atomically(asked.out, (json.dumps(runs, indent=1) + "\n").encode())
        write_atomically(asked.out.with_suffix(".md"), as_markdown(runs).encode())
    return 0


def _stages(study: Study, view: str) -> list[tuple[str, str]]:
    cell = study.views[view].cell
    first = [("images", study.cells[cell].dataset), ("labels", cell), ("forgetting", cell)]
    return [*first, ("teachers", view), ("consistency", view), ("subset", view)]


def record(study: Study, layout: Layout, view: str) -> dict[str, Any]:
    """Everything that is known of one view, as JSON."""
    cell = study.views[view].cell
    labels = read_manifest(layout.artifact("labels", cell), "labels").notes
    forgetting = read_manifest(layout.artifact("forgetting", cell), "forgetting").notes
    subset = read_manifest(layout.artifact("subset", view), "reliability").notes
    noise = study.cells[cell].noise
    logits, observed, clean = _predictions(study, layout, view)
    right = observed == clean
    return {
        "cell": cell,
        "noise": params_of(replace(noise, seed=0)),
        "seeds": {"noise": noise.seed, "forgetting": study.forgetting.seeds, "teachers": study.teachers.seed},
        "images": len(observed),
        "wrong": int((~right).sum()),
        "realised_rate_of_all": labels["realised_rate"],
        "scores": subset["detection"],
        "by_class": subset["detection_by_class"],
        "subset": subset["subset"],
        "forgetting": forgetting,
        "cleanlab": _cleanlab(logits, observed, right),
        "accuracy_on_clean_labels": (logits.argmax(2) == clean).double().mean(1).tolist(),
        "sizes": {
            name: params_of(getattr(study, name)) for name in ("network", "forgetting", "teachers", "neighbours")
        },
        **_facts(study, layout, view),
    }


def _predictions(study: Study, layout: Layout, view: str) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [P, n, C] of every teacher as it ended, on the training images, and their observed and clean labels."""
    (units,) = consistency.waves(study, view, layout)
    data = training_images(units[0])
    network = network_for(study.network, data.images, len(class_names(units[0])))
    logits = [predict(network, end, data.images) for end in map(_end, units)]
    return torch.stack(logits), data.observed, data.clean


def _end(unit: Unit) -> Tensor:
    with safe_open(unit.path("teacher", f"{unit.inputs['teacher'].name}.safetensors"), "pt") as file:
        parameters: Tensor = file.get_slice("snapshots")[-1]
    return parameters


def _cleanlab(logits: Tensor, observed: Tensor, right: Tensor) -> dict[str, Any]:
    """What cleanlab's find_label_issues, by its defaults, takes for wrong."""
    from cleanlab.filter import find_label_issues

    probabilities = logits.double().softmax(2).mean(0)
    found = torch.from_numpy(find_label_issues(observed.numpy(), probabilities.numpy(), n_jobs=1))
    hits = int((found & ~right).sum())
    return {
        "found": int(found.sum()),
        "precision": hits / int(found.sum()) if found.any() else None,
        "recall": hits / int((~right).sum()) if (~right).any() else None,
    }


def _facts(study: Study, layout: Layout, view: str) -> dict[str, Any]:
    """Where the teachers were trained, and the seconds of every stage of the cell but the images."""
    seconds = {
        stage: sum(unit.get("seconds", 0.0) for unit in _units(layout, stage, ident))
        for stage, ident in _stages(study, view)[1:]
    }
    newest = max(_units(layout, "teachers", view), key=lambda unit: unit.get("started", ""))
    facts = {name: newest.get(name) for name in ("commit", "device", "threads", "torch", "python")}
    return {"seconds": {stage: round(value, 1) for stage, value in seconds.items()}, **facts}


def _units(layout: Layout, stage: str, ident: str) -> Iterator[dict[str, Any]]:
    yield from json.loads(layout.run_record(stage, ident).read_bytes())["units"].values()


if __name__ == "__main__":
    sys.exit(main())
