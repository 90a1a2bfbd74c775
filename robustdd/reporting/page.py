"""The report as one HTML page that needs nothing else: pictures inside, light and dark, no script, no network."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from robustdd.reporting import tables
from robustdd.reporting.durations import duration
from robustdd.reporting.label_quality import suspect_labels
from robustdd.reporting.records import Provenance, StudyResults
from robustdd.reporting.report import Findings, PlannedFigure, findings, planned_figures
from robustdd.reporting.style import DARK, LIGHT
from robustdd.reporting.tabular import Table

SUSPECTS = 10
"""So many suspicious labels a view stand in the page; all of them stand in its CSV."""


def report_page(study: StudyResults) -> bytes:
    """The page of a study, UTF-8. Unlike the files it holds provenance, so two equal runs give two pages."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = findings(study)
    drawn = [_drawn(figure) for figure in planned_figures(study, found.lines)]
    environment = Environment(
        loader=PackageLoader("robustdd"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        name=study.name,
        facts=_facts(study, found),
        result=_plain(tables.result_table(found.lines)),
        methods=[line.method for line in found.lines],
        differences=_plain(tables.comparison_table(found.comparisons)),
        shown=[one.verdict == "shown" for one in found.comparisons],
        caveats=found.caveats,
        figures={
            section: [one for one in drawn if one["section"] == section]
            for section in {one["section"] for one in drawn}
        },
        quality=_plain(tables.quality_table(found.views)),
        subsets=_plain(tables.subset_table(found.views)),
        suspects={
            view: _plain(tables.suspect_table(suspect_labels(view, study.reliability[view], SUSPECTS)))
            for view in sorted(study.reliability)
        },
        settings={name: list(_flat(value)) for name, value in study.settings.items()},
        runs=sorted(study.provenance, key=lambda run: run.started),
        versions=_versions(study.provenance),
        duration=duration,
    )
    return page.encode()


def _drawn(figure: PlannedFigure) -> dict[str, str]:
    light, dark = (f"data:image/png;base64,{base64.b64encode(figure.draw(theme)).decode()}" for theme in (LIGHT, DARK))
    return {"section": figure.section, "caption": figure.caption, "light": light, "dark": dark}


def _plain(table: Table) -> dict[str, Any]:
    """A table as the template reads it: its columns, and its cells as they are shown."""
    return {"columns": table.columns, "rows": table.shown()}


def _facts(study: StudyResults, found: Findings) -> list[tuple[str, str]]:
    nets = sum(line.summary.nets for line in found.lines)
    seconds = sum(run.seconds for run in study.provenance)
    facts = [
        ("cells", str(len({line.cell for line in found.lines}))),
        ("distilled sets", str(len(study.rows))),
        ("networks tested", str(nets)),
        ("test images", " / ".join(f"{count:,}" for count in sorted({line.test_images for line in found.lines}))),
    ]
    return facts + ([("computing time", duration(seconds))] if study.provenance else [])


def _versions(runs: tuple[Provenance, ...]) -> list[str]:
    return sorted({f"{name} {version}" for run in runs for name, version in run.versions.items()})


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of a nested mapping as (dotted name, value)."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
