"""results/precision.json as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import table
from robustdd.statistics import PairedDifference, paired_difference, sampling_reach, summarise, summarise_seeds
from robustdd.tabular import DASH, percent, points

Run = dict[str, Any]
Found = dict[int, Run]


def as_markdown(record: Run) -> str:
    """Teachers, distilled sets and paired differences, whichever way they fall; what is not run yet is left out."""
    runs = [(json.loads(key), found) for key, found in record["runs"].items()]
    tests = record["data"]["test_images"]
    teachers = _grouped(runs, "teacher", "precision", "index")
    sets = _grouped(runs, "distil", "arm", "seed")
    start = {"not distilled": {case["seed"]: found for case, found in runs if case["part"] == "start"}}
    parts = [_head(record), f"## Teachers\n\n{_teachers(teachers)}"]
    if sets:
        parts += [f"## Distilled sets\n\n{_sets({**{k: v for k, v in start.items() if v}, **sets})}"]
    pairs = [("teachers, bfloat16", "teachers, float32", teachers.get("bfloat16", {}), teachers.get("float32", {}))]
    pairs += [(arm, "float32", found, sets.get("float32", {})) for arm, found in sets.items() if arm != "float32"]
    pairs += [("float32", name, sets.get("float32", {}), found) for name, found in start.items()]
    parts += [f"## Differences in percentage points, paired\n\n{_differences(pairs, tests)}"]
    return "\n\n".join(parts) + "\n"


def _grouped(runs: list[tuple[Run, Run]], part: str, group: str, unit: str) -> dict[str, Found]:
    groups: dict[str, Found] = {}
    for case, found in runs:
        if case["part"] == part:
            groups.setdefault(case[group], {})[case[unit]] = found
    return dict(sorted(groups.items(), key=lambda one: (one[0] != "float32", one[0])))


def _head(record: Run) -> str:
    known, data = record["identity"], record["data"]
    sizes, minutes = known["sizes"], sum(run["seconds"] for run in record["runs"].values()) / 60
    recipe, teachers, network = sizes["recipe"], sizes["teachers"], sizes["network"]
    noise, evaluate = sizes["noise"], sizes["evaluate"]
    return f"""# Does bfloat16 cost accuracy?

Generated from precision.json by `make results`. {sizes["dataset"]["kind"]} (JPEG-compressed copies of the images), \
{data["images"]:,} training images under {noise["kind"]} noise ({data["realised_rate"]:.1%} of the labels wrong), \
{data["test_images"]:,} test images;
ConvNet-{network["depth"]} of width {network["width"]}; {teachers["num_teachers"]} plain teachers of \
{teachers["epochs"]} epochs ({teachers["optimizer"]}, rate {teachers["learning_rate"]}, batch \
{teachers["batch_size"]}); IPC {sizes["ipc"]}, {recipe["iterations"]} iterations of {recipe["inner_steps"]} steps on \
{recipe["batch_size"]} images, {recipe["teacher_epochs"]} teacher epochs matched; every set evaluated by \
{len(evaluate["seeds"])} fresh networks of {evaluate["epochs"]} epochs, always in float32, after the last epoch.
{minutes:.0f} minutes in all on {known["threads"]} thread of {known["device"]}, torch {known["torch"]}, commit \
{record["commit"]}.

bfloat16 (`engine.precision`): operands and results of the convolutions; norms, losses, sums, parameters are float32.
{ARITHMETIC[data["arithmetic"]]}"""


ARITHMETIC = {
    "bfloat16": "Computed by the processor's own instructions.",
    "rounded": "This processor has no instructions for it: the values are rounded as it would round them "
    "and the sums are float32.\nThe seconds below tell nothing of its speed.",
}


def _teachers(groups: Mapping[str, Found]) -> str:
    rows = []
    for precision, found in groups.items():
        told = summarise([run["accuracy"] for run in found.values()])
        seconds = summarise([run["seconds"] for run in found.values()])
        rows.append([precision, str(told.count), percent(told.mean), percent(told.sd), f"{seconds.mean:.0f}"])
    return table(["precision", "n", "accuracy %", "sd", "s each"], rows)


def _sets(groups: Mapping[str, Found]) -> str:
    rows = []
    for name, found in groups.items():
        told = summarise_seeds({seed: run["accuracy"] for seed, run in found.items()})
        losses = [run[which] for which in ("first_loss", "last_loss") for run in found.values() if which in run]
        half = len(losses) // 2
        shown = [f"{sum(part) / half:.3f}" if half else DASH for part in (losses[:half], losses[half:])]
        seconds = [run["distil_seconds"] for run in found.values() if "distil_seconds" in run]
        took = f"{sum(seconds) / len(seconds):.0f}" if seconds else DASH
        counts = [str(told.seeds), str(told.nets)]
        rows.append([name, *counts, percent(told.mean), percent(told.sd), told.over, *shown, took])
    header = ["set", "distillation seeds", "nets", "accuracy %", "sd", "sd over", "first loss", "last loss", "s each"]
    return table(header, rows)


def _differences(pairs: list[tuple[str, str, Found, Found]], tests: int) -> str:
    rows = []
    for first, second, ours, theirs in pairs:
        if not ours.keys() & theirs.keys():
            continue
        mine, others = ({index: _nets(run) for index, run in found.items()} for found in (ours, theirs))
        difference = paired_difference(mine, others)
        low, high = difference.interval or (None, None)
        verdict = _verdict(difference, sampling_reach(summarise_seeds(mine).mean, tests))
        rows.append(
            [first, second, points(difference.mean), points(low), points(high), str(difference.degrees), verdict]
        )
    return table(["", "against", "difference", "from", "to (95 %)", "df", "verdict"], rows)


def _nets(run: Run) -> list[float]:
    return run["accuracy"] if isinstance(run["accuracy"], list) else [run["accuracy"]]


def _verdict(difference: PairedDifference, reach: float) -> str:
    from robustdd.differences import Comparison

    return Comparison("", 0, "", "", difference, reach).verdict
