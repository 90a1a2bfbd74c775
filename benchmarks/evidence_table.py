"""The Markdown of `benchmarks.evidence`: tables alone, every number from its JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from textwrap import fill
from typing import Any

from benchmarks.markdown import table

Found = dict[str, Any]


def as_markdown(found: Found) -> str:
    """All tables of one study."""
    head = f"""Generated from evidence.json by `make results`; commit {found["commit"]}. Networks are asked about the
first {found["looked_at"]:,} training images, means over the teachers of a view. Right: share of the rightly labelled
images that get their label. Remembered: share of the wrongly labelled ones that get their wrong label. Corrected: share
of those that get their true one."""
    parts = [
        f"# {found['name']}: why the rows stand where they stand\n\n{fill(head, 120)}",
        f"## What the teachers know, by epoch\n\n{_epochs(found['views'])}",
        f"## The rows\n\n{_rows(found['rows'])}",
    ]
    if found["subsets"]:
        parts.append(f"## The reliable subset\n\n{_subsets(found['subsets'])}")
    if found["targets"]:
        parts.append(f"## Clean targets against the teachers' own\n\n{_targets(found['targets'])}")
    parts.append(f"## Seconds of computing\n\n{_seconds(found)}")
    return "\n\n".join(parts) + "\n"


def _epochs(views: dict[str, Found]) -> str:
    last = max(len(view["epochs"]) for view in views.values()) - 1
    shown = sorted({round(last * part / 6) for part in range(7)})
    rows = []
    for name, view in views.items():
        for key, told in (("right", "right"), ("wrong_as_observed", "remembered"), ("wrong_as_clean", "corrected")):
            rows.append([name, told, *(_percent(view["epochs"][epoch][key]) for epoch in shown)])
    return table(["view", "%", *(f"epoch {epoch}" for epoch in shown)], rows, words=2)


def _rows(rows: dict[str, Found]) -> str:
    grouped: dict[tuple[str, str], list[Found]] = {}
    for row in rows.values():
        grouped.setdefault((row["method"], row["view"]), []).append(row)
    body = []
    for (method, view), same in grouped.items():
        values = [_over(same, key) for key in ("first_loss", "last_loss", "learning_rate", "skipped", "matched_blend")]
        purity = _over(same, "start_purity", 100, 0)
        body.append([method, view, str(len(same)), purity, _over(same, "filled", 1, 1), *values])
    header = ["method", "view", "n", "first set right %", "filled", "first loss", "last loss", "learned rate"]
    return table([*header, "skipped", "mean blend of the matched epochs"], body, words=2)


def _subsets(subsets: dict[str, Found]) -> str:
    names = sorted({name for one in subsets.values() for name, value in one.items() if isinstance(value, int | float)})
    rows = []
    for view, one in subsets.items():
        values = [one.get(name) for name in names]
        rows.append([view, *("" if value is None else f"{value:.4g}" for value in values)])
    return table(["view", *(name.replace("_", " ") for name in names)], rows)


def _targets(targets: dict[str, Found]) -> str:
    rows = []
    for view, one in targets.items():
        shares = [one[f"{kind}_{key}"] for key in ("right", "wrong_as_observed") for kind in ("own", "clean")]
        steps = [f"{one[key]:.3f}" for key in ("distance", "length", "cosine")]
        rows.append([view, str(one["count"]), *steps, *map(_percent, shares)])
    header = ["view", "n", "distance / own step", "clean step / own step", "cosine of the steps"]
    return table([*header, "right: own %", "right: clean %", "remembered: own %", "remembered: clean %"], rows)


def _seconds(found: Found) -> str:
    """Sums by stage and method, and what SGR and TIAT add to a row of DATM's."""
    seconds: dict[str, float] = found["seconds"]
    whole = sum(seconds.values())
    sums: dict[str, float] = {}
    for name, value in seconds.items():
        stage, _, ident = name.partition(" ")
        row = found["rows"].get(ident)
        view = found["views"].get(ident)
        kind = f" ({row['method']})" if row else f" ({view['weights']})" if view else ""
        sums[stage + kind] = sums.get(stage + kind, 0.0) + value
    rows = [[name, f"{value:.0f}", f"{100 * value / whole:.1f}"] for name, value in sums.items()]
    return table(["stage", "seconds", "share %"], [*rows, ["all", f"{whole:.0f}", "100.0"]])


def _over(rows: Iterable[Found], key: str, factor: float = 1, digits: int = 4) -> str:
    values = [factor * row[key] for row in rows if row.get(key) is not None]
    return f"{statistics.mean(values):.{digits}f}" if values else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
