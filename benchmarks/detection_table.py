"""results/detection.json as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Any

from benchmarks.markdown import table
from robustdd.reporting.label_quality import RANKINGS

Run = dict[str, Any]

SCORES = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "precision_at_noise_rate": "Precision at the noise rate",
}


def as_markdown(runs: Sequence[Run]) -> str:
    """All tables; the best of a row is bold, by its mean over the seeds."""
    noises: dict[str, list[Run]] = {}
    for run in runs:
        noises.setdefault(str(run["noise"]), []).append(run)
    cells = {same[0]["cell"]: same for same in noises.values()}
    parts = [_head(runs)]
    parts += [f"## {title}\n\n{_scores(cells, score)}" for score, title in SCORES.items()]
    parts.append(f"## AUROC within a class, by observed label: mean (lowest) over the classes\n\n{_by_class(cells)}")
    parts.append(f"## The reliable subset\n\n{_subsets(cells)}")
    parts.append(f"## What cleanlab's find_label_issues takes for wrong, by its defaults\n\n{_cleanlab(cells)}")
    parts.append(f"## The networks\n\n{_networks(cells)}")
    return "\n\n".join(parts) + "\n"


def _head(runs: Sequence[Run]) -> str:
    run = runs[0]
    teachers, seeds = run["sizes"]["teachers"], sorted({one["seeds"]["noise"] for one in runs})
    minutes = sum(sum(one["seconds"].values()) for one in runs) / 60
    told = f"""Generated from detection.json by `make results`. CIFAR-10 (JPEG-compressed copies of the images),
{run["images"]:,} of the 50,000 training images, ConvNet-{run["sizes"]["network"]["depth"]} of width
{run["sizes"]["network"]["width"]}, {teachers["num_teachers"]} SGR teachers of {teachers["epochs"]} epochs, forgetting
of {run["sizes"]["forgetting"]["epochs"]} epochs a half, K = {run["sizes"]["neighbours"]["k"]}. Noise seed
{", ".join(map(str, seeds))}, forgetting seed {", ".join(map(str, run["seeds"]["forgetting"]))}, teachers' seed
{run["seeds"]["teachers"]}; n is the number of noise draws, ± their standard deviation where there are several: with
n = 1 small differences mean nothing. {minutes:.0f} minutes in all on {run["threads"]} thread of {run["device"]}, torch
{run["torch"]}, commit {run["commit"]}."""
    return f"# Does the weighting find wrong labels?\n\n{fill(told, 120)}\n\n{fill(_PEERS, 120)}"


_PEERS = """A low weight is the sign of a wrong label. The peers look at the last snapshots of the same teachers, which
were trained with the static weights; cleanlab would rather see predictions for images that the networks have not been
trained on."""


def _scores(cells: dict[str, list[Run]], score: str) -> str:
    rows = []
    for cell, runs in cells.items():
        values = {name: [run["scores"][name][score] for run in runs] for name in RANKINGS}
        best = max(statistics.mean(found) for found in values.values())
        shown = [_bold(_spread(found), statistics.mean(found) == best) for found in values.values()]
        rows.append([cell, str(len(runs)), f"{100 * _mean(runs, _rate):.1f}", *shown])
    return table(["cell", "n", "wrong %", *RANKINGS.values()], rows)


def _by_class(cells: dict[str, list[Run]]) -> str:
    rows = []
    for cell, runs in cells.items():
        shown = []
        for name in RANKINGS:
            by_run = [[one["auroc"] for one in run["by_class"][name] if one["auroc"] is not None] for run in runs]
            means, lowest = statistics.mean(map(statistics.mean, by_run)), statistics.mean(map(min, by_run))
            shown.append(f"{means:.3f} ({lowest:.3f})")
        rows.append([cell, str(len(runs)), *shown])
    return table(["cell", "n", *RANKINGS.values()], rows)


def _subsets(cells: dict[str, list[Run]]) -> str:
    rows = []
    for cell, runs in cells.items():
        found = [run["subset"] for run in runs]
        purity = [f"{100 * statistics.mean(one[key] for one in found):.1f}" for key in ("whole_purity", "purity")]
        worst = statistics.mean(min(share for share in one["class_purities"] if share is not None) for one in found)
        balance = [f"{statistics.mean(one[key] for one in found):.2f}" for key in ("whole_balance", "balance")]
        rows.append([cell, str(len(runs)), str(found[0]["size"]), *purity, f"{100 * worst:.1f}", *balance])
    header = ["cell", "n", "in subset", "right labels %", "right in subset %", "right in its worst class %"]
    return table([*header, "smallest / largest class", "the same in the subset"], rows)


def _cleanlab(cells: dict[str, list[Run]]) -> str:
    rows = []
    for cell, runs in cells.items():
        found = [run["cleanlab"] for run in runs]
        shares = [f"{100 * statistics.mean(one[key] or 0.0 for one in found):.1f}" for key in ("precision", "recall")]
        size = f"{statistics.mean(one['found'] for one in found):.0f}"
        rows.append([cell, str(len(runs)), f"{_mean(runs, lambda run: run['wrong']):.0f}", size, *shares])
    return table(["cell", "n", "wrong labels", "found", "precision %", "recall %"], rows)


def _networks(cells: dict[str, list[Run]]) -> str:
    rows = []
    for cell, runs in cells.items():
        stage = [f"{100 * _mean(runs, lambda run, key=key: run['forgetting'][key]):.1f}" for key in _STAGES]
        accuracy = 100 * _mean(runs, lambda run: statistics.mean(run["accuracy_on_clean_labels"]))
        seconds = _mean(runs, lambda run: sum(run["seconds"].values()))
        distinct = f"{_mean(runs, lambda run: run['forgetting']['distinct_weights']):.0f}"
        rows.append([cell, str(len(runs)), *stage, distinct, f"{accuracy:.1f}", f"{seconds:.0f}"])
    header = ["cell", "n", "right labels remembered %", "wrong labels remembered %", "distinct static weights"]
    return table([*header, "teachers' accuracy on clean training labels %", "seconds"], rows)


_STAGES = ("remembered_right", "remembered_wrong")


def _rate(run: Run) -> float:
    return run["wrong"] / run["images"]


def _mean(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return statistics.mean(map(value, runs))


def _spread(values: Sequence[float]) -> str:
    mean = statistics.mean(values)
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} ± {statistics.stdev(values):.3f}"


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text
