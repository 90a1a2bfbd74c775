"""The Markdown of `benchmarks.evidence`: tables alone, every number from its JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from textwrap import fill
from typing import Any

from benchmarks.evidence_draws import as_table
from benchmarks.markdown import table

Found = dict[str, Any]


def as_markdown(found: Found) -> str:
    """All tables of one study."""
    head = f"""Generated from evidence.json by `make results`; commit {found["commit"]}. Networks are asked about the
first {found["looked_at"]:,} training images, means over the teachers of a view. Right: share of the rightly labelled
images that get their label. Remembered: share of the wrongly labelled ones that get their wrong label; by chance, one
in as many as there are classes. Corrected: share of those that get their true one. Step: how far the parameters moved
in the epoch. The losses are means of the first and of the last ten iterations that start in the first range; that of
ours holds the clean target too. Steps x rate: how far the student can go, at the learned rate. Seconds are wall-clock,
beside whatever else the machine did."""
    parts = [
        f"# {found['name']}: why the rows stand where they stand\n\n{fill(head, 120)}",
        f"## What the teachers know, by epoch\n\n{_epochs(found['views'])}",
        f"## The rows\n\n{_rows(found['rows'])}",
    ]
    if found.get("draws"):
        parts.append(f"## Over draws of the noise, in percentage points\n\n{as_table(found['draws'])}")
    parts.append(f"## Spread of the accuracies\n\n{_spreads(found['spreads'])}")
    if found["subsets"]:
        parts.append(f"## The reliable subset\n\n{_subsets(found['subsets'])}")
    if found["targets"]:
        parts.append(f"## Clean targets against the teachers' own\n\n{_targets(found['targets'])}")
    if added := _added(found):
        parts.append(f"## What SGR and TIAT cost\n\n{added}")
    parts.append(f"## Seconds of computing\n\n{_seconds(found)}")
    return "\n\n".join(parts) + "\n"


def _epochs(views: dict[str, Found]) -> str:
    last = max(len(view["epochs"]) for view in views.values()) - 1
    shown = sorted({round(last * part / 6) for part in range(7)})
    rows = []
    for name, view in views.items():
        for key, told in (("right", "right"), ("wrong_as_observed", "remembered"), ("wrong_as_clean", "corrected")):
            rows.append([name, f"{told} %", *(_percent(view["epochs"][epoch][key]) for epoch in shown)])
        steps = [view["epochs"][epoch]["step"] for epoch in shown]
        rows.append([name, "step", *("" if step is None else f"{step:.3f}" for step in steps)])
    return table(["view", "", *(f"epoch {epoch}" for epoch in shown)], rows, words=2)


def _rows(rows: dict[str, Found]) -> str:
    grouped: dict[str, list[Found]] = {}
    for ident, row in rows.items():
        grouped.setdefault(_setting(ident, row), []).append(row)
    body = []
    for name, same in grouped.items():
        names = ("first_loss", "last_loss", "learning_rate", "steps_times_rate", "skipped", "matched_blend")
        values = [_over(same, key) for key in names]
        purity = _over(same, "start_purity", 100, 0)
        body.append([name, str(len(same)), purity, _over(same, "filled", 1, 1), *values])
    header = [
        "row",
        "n",
        "first set right %",
        "filled",
        "first loss",
        "last loss",
        "learned rate",
        "steps x rate",
    ]
    return table([*header, "skipped", "mean blend of the matched epochs"], body, words=1)


def _subsets(subsets: dict[str, list[Found]]) -> str:
    rows = [
        [view, one["rule"], _percent(one["share"]), _percent(one["purity"])]
        for view, rules in subsets.items()
        for one in rules
    ]
    return table(["view", "rule", "share of the images %", "rightly labelled %"], rows, words=2)


def _spreads(spreads: list[Found]) -> str:
    rows = [
        [
            one["method"],
            one["weights"],
            one["recipe"],
            one["over"],
            str(one["values"]),
            str(one["degrees"]),
            f"{100 * one['sd']:.2f}",
        ]
        for one in spreads
    ]
    return table(["method", "weights", "recipe", "over", "n", "df", "sd, points"], rows, words=4)


def _targets(targets: dict[str, Found]) -> str:
    rows = []
    for view, one in targets.items():
        shares = [one[f"{kind}_{key}"] for key in ("right", "wrong_as_observed") for kind in ("own", "clean")]
        steps = [f"{one[key]:.3f}" for key in ("distance", "length", "cosine")]
        rows.append([view, str(one["count"]), *steps, *map(_percent, shares)])
    header = ["view", "n", "distance / own step", "clean step / own step", "cosine of the steps"]
    return table([*header, "right: own %", "right: clean %", "remembered: own %", "remembered: clean %"], rows)


def _setting(ident: str, row: Found) -> str:
    """A row's name for all its seeds, as the tables of accuracies have it."""
    return f"{ident.removesuffix(str(row['seed']))}*"


def _seconds(found: Found) -> str:
    """Sums by stage and what it was for, the seeds of a row together: what a table of one study cost."""
    seconds: dict[str, float] = found["seconds"]
    whole = sum(seconds.values())
    sums: dict[tuple[str, str], list[float]] = {}
    for name, value in seconds.items():
        stage, _, ident = name.partition(" ")
        row = found["rows"].get(ident)
        sums.setdefault((stage, _setting(ident, row) if row else ident), []).append(value)
    rows = [
        [*of, str(len(each)), f"{statistics.mean(each):.0f}", f"{sum(each):.0f}", f"{100 * sum(each) / whole:.1f}"]
        for of, each in sums.items()
    ]
    total = ["all", "", str(len(seconds)), "", f"{whole:.0f}", "100.0"]
    return table(["stage", "of", "n", "seconds each", "seconds", "share %"], [*rows, total], words=2)


def _added(found: Found) -> str:
    """What SGR and TIAT add to one row, with the whole preparation of its view, in seconds and as a share of it."""
    rows = []
    for view, told in found["views"].items():
        plain = next(
            (name for name, one in found["views"].items() if (one["cell"], one["weights"]) == (told["cell"], "plain")),
            "",
        )
        parts = {
            "second-split forgetting": _spent(found, "forgetting", told["cell"]),
            "teachers, as plain ones": _spent(found, "teachers", plain),
            "KNN and reweighting in the teachers": _spent(found, "teachers", view) - _spent(found, "teachers", plain),
            "consistency and subset": _spent(found, "consistency", view) + _spent(found, "subset", view),
            "fine-tuning to clean targets": _spent(found, "finetune", view),
            "distillation of one row": statistics.mean(
                [
                    _spent(found, "distill", name)
                    for name, row in found["rows"].items()
                    if (row["view"], row["method"]) == (view, "ours")
                ]
                or [0.0]
            ),
        }
        if told["weights"] == "sgr" and plain and all(parts.values()):
            whole = sum(parts.values())
            rows += [[view, name, f"{value:.0f}", f"{100 * value / whole:.1f}"] for name, value in parts.items()]
    return table(["view", "part of a row of ours", "seconds", "share %"], rows, words=2) if rows else ""


def _spent(found: Found, stage: str, ident: str) -> float:
    return float(found["seconds"].get(f"{stage} {ident}", 0.0))


def _over(rows: Iterable[Found], key: str, factor: float = 1, digits: int = 4) -> str:
    values = [factor * row[key] for row in rows if row.get(key) is not None]
    return f"{statistics.mean(values):.{digits}f}" if values else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
