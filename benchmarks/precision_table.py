"""results/precision.json as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import table
from benchmarks.paired import HEADER, cells
from benchmarks.precision_runs import ARMS, SETTINGS
from robustdd.evaluation.statistics import paired_difference, sampling_reach, summarise, summarise_seeds
from robustdd.reporting.tabular import DASH, percent

Run = dict[str, Any]
Found = dict[int, Run]


def as_markdown(record: Run) -> str:
    """Teachers, distilled sets and paired differences, whichever way they fall; what is not run yet is left out."""
    runs = [(json.loads(key), found) for key, found in record["runs"].items()]
    tests = record["data"]["test_images"]
    teachers = _grouped(runs, "teacher", "setting", "index")
    sets = _grouped(runs, "distil", "arm", "seed")
    start = {"not distilled": {case["seed"]: found for case, found in runs if case["part"] == "start"}}
    parts = [_head(record), f"## Teachers\n\n{_teachers(teachers)}"]
    if sets:
        parts += [f"## Distilled sets\n\n{_sets({**{k: v for k, v in start.items() if v}, **sets})}"]
    pairs = [
        (f"teachers, {setting}", "teachers, plain", found, teachers.get("plain", {}))
        for setting, found in teachers.items()
        if setting != "plain"
    ]
    pairs += [(arm, "plain", found, sets.get("plain", {})) for arm, found in sets.items() if arm != "plain"]
    pairs += [("plain", name, sets.get("plain", {}), found) for name, found in start.items()]
    parts += [f"## Differences in percentage points, paired\n\n{_differences(pairs, tests)}"]
    return "\n\n".join(parts) + "\n"


def _grouped(runs: list[tuple[Run, Run]], part: str, group: str, unit: str) -> dict[str, Found]:
    groups: dict[str, Found] = {}
    for case, found in runs:
        if case["part"] == part:
            groups.setdefault(case[group], {})[case[unit]] = found
    return {name: groups[name] for name in (*SETTINGS, *ARMS) if name in groups}


def _head(record: Run) -> str:
    known, data = record["identity"], record["data"]
    sizes, minutes = known["sizes"], sum(run["seconds"] for run in record["runs"].values()) / 60
    recipe, teachers, network = sizes["recipe"], sizes["teachers"], sizes["network"]
    noise, evaluate = sizes["noise"], sizes["evaluate"]
    return f"""# What compiling and bfloat16 do to accuracy

Generated from precision.json by `make results`. {sizes["dataset"]["kind"]} (JPEG-compressed copies of the images), \
{data["images"]:,} training images under {noise["kind"]} noise ({data["realised_rate"]:.1%} of the labels wrong), \
{data["test_images"]:,} test images;
ConvNet-{network["depth"]} of width {network["width"]}; {teachers["num_teachers"]} plain teachers of \
{teachers["epochs"]} epochs ({teachers["optimizer"]}, rate {teachers["learning_rate"]}, batch \
{teachers["batch_size"]}); IPC {sizes["ipc"]}, {recipe["iterations"]} iterations of {recipe["inner_steps"]} steps on \
{recipe["batch_size"]} images, {recipe["teacher_epochs"]} teacher epochs matched; every set evaluated by \
{len(evaluate["seeds"])} fresh networks of {evaluate["epochs"]} epochs, always as plain, after the last epoch.
All distillation seeds of a setting share its teachers: an interval does not cover other ones. Seconds are wall-clock, \
beside whatever else the machine did.
{minutes:.0f} minutes in all on {known["threads"]} thread of {known["device"]}, torch {known["torch"]}, commit \
{record["commit"]}.

Plain: float32, `engine.compile: off`. Compiled: float32, `compile: on`; {COMPILED[data["arithmetic"]["compiled"]]}
bfloat16: the same with `engine.precision: bfloat16`, which is that of the operands and results of the convolutions;
norms, losses, sums, parameters are float32. {NARROW[data["arithmetic"]["bfloat16"]]}"""


COMPILED = {
    "winograd": "wide convolutions are\nthe project's own C++ (Winograd), the others the library's.",
    "native": "convolutions are the\nlibrary's.",
}
NARROW = {
    "bfloat16": "Computed by the processor's own instructions.",
    "rounded": "This processor has no instructions for it: the values\nare rounded as it would round them "
    "and the sums are float32; the seconds below tell nothing of its speed.",
}


def _teachers(groups: Mapping[str, Found]) -> str:
    rows = []
    for setting, found in groups.items():
        told = summarise([run["accuracy"] for run in found.values()])
        seconds = summarise([run["seconds"] for run in found.values()])
        rows.append([setting, str(told.count), percent(told.mean), percent(told.sd), f"{seconds.mean:.0f}"])
    return table(["setting", "n", "accuracy %", "sd", "s each"], rows)


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
        reach = sampling_reach(summarise_seeds(mine).mean, tests)
        rows.append([first, second, *cells(difference, reach)])
    return table(["", "against", *HEADER], rows)


def _nets(run: Run) -> list[float]:
    return run["accuracy"] if isinstance(run["accuracy"], list) else [run["accuracy"]]
