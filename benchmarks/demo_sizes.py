"""How the demo's sizes were chosen: by accuracy on a noisy hold-out of the training images, never on the test set.

`python -m benchmarks.demo_sizes` sets a quarter of the training images of the demo apart, runs its matched rows under
each candidate and writes results/demo-sizes.json. The candidates change one thing each; all rows share every setting.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.stage import run_stage
from robustdd.store.provenance import commit
from robustdd.study.load import load_study

ROOT = Path(__file__).resolve().parent.parent
CELL, PLAIN, SGR = "digits-sym40", "digits-sym40-plain", "digits-sym40-sgr"
ROWS = {"datm": f"{PLAIN}-datm-ipc1-s0", "sgr": f"{SGR}-sgr-ipc1-s0", "ours": f"{SGR}-ours-ipc1-s0"}

CANDIDATES: dict[str, dict[str, Any]] = {
    "as in params.yaml": {},
    "subset.ratio 0.6": {"subset.ratio": 0.6, "finetune.epochs": 2},
    "finetune.epochs 2": {"finetune.epochs": 2},
    "initial_rate 0.1": {"recipes.demo.initial_rate": 0.1},
    "label_step 10": {"recipes.demo.label_step": 10.0},
    "max_start 5": {"recipes.demo.first_max_start": 3, "recipes.demo.max_start": 5},
}


def main() -> int:
    """Run every candidate in one folder, so that what it leaves unchanged is found in the cache."""
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for name, changes in CANDIDATES.items():
            measured.append({"candidate": name, "changes": changes, **_measure(Path(folder), changes)})
            print(json.dumps(measured[-1]), flush=True)
    record = {"commit": commit(), "holdout": 0.25, "distillation_seeds": 1, "candidates": measured}
    (ROOT / "results").mkdir(exist_ok=True)
    (ROOT / "results" / "demo-sizes.json").write_text(json.dumps(record, indent=1) + "\n")
    return 0


def _measure(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Noisy hold-out accuracy of the matched rows, mean and sd over the evaluation nets; and the subset's size."""
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    for path, value in {"datasets.digits.holdout": 0.25, **changes}.items():
        *sections, key = path.split(".")
        section = params
        for one in sections:
            section = section[one]
        section[key] = value
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)
    load_study(folder)
    for stage, ident in _stages():
        run_stage(stage, ident, folder)
    found: dict[str, Any] = {}
    for method, row in ROWS.items():
        nets = json.loads((folder / "data" / "evaluate" / row / "accuracy.json").read_bytes())["holdout_accuracy"]
        found[method] = {"mean": statistics.mean(nets), "sd": statistics.stdev(nets), "nets": len(nets)}
    notes = json.loads((folder / "data" / "subset" / SGR / "reliability.manifest.json").read_bytes())["notes"]
    return {"holdout_accuracy": found, "subset_size": notes["subset"]["size"]}


def _stages() -> list[tuple[str, str]]:
    shared = [("images", "digits"), ("labels", CELL), ("forgetting", CELL), ("teachers", PLAIN), ("teachers", SGR)]
    views = [(stage, SGR) for stage in ("consistency", "subset", "finetune")]
    return [*shared, *views, *((stage, row) for row in ROWS.values() for stage in ("distill", "evaluate"))]


if __name__ == "__main__":
    sys.exit(main())
