"""The report of a study as files whose bytes repeat: tables and figures. `robustdd.reporting.page` shows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby

from robustdd.reporting import diagnostics, figures, pictures, tables
from robustdd.reporting.differences import Comparison, comparisons
from robustdd.reporting.label_quality import ViewQuality, suspect_labels, view_quality
from robustdd.reporting.records import StudyResults
from robustdd.reporting.style import LIGHT, Theme
from robustdd.reporting.summary import Line, caveats, result_lines


@dataclass(frozen=True)
class Findings:
    """What a study says, computed once for tables, figures and page."""

    lines: list[Line]
    comparisons: list[Comparison]
    views: list[ViewQuality]
    caveats: list[str]


@dataclass(frozen=True)
class PlannedFigure:
    """A figure before it is drawn: its file name without ending, the section and the words that go with it."""

    name: str
    section: str
    caption: str
    draw: Callable[[Theme], bytes]


def findings(study: StudyResults) -> Findings:
    """What a report derives from a study's numbers. UserError for a reliability frame that lacks a column."""
    lines = result_lines(study.rows, study.full)
    views = [view_quality(view, study.reliability[view]) for view in sorted(study.reliability)]
    return Findings(lines, comparisons(study.rows), views, caveats(lines))


def report_files(study: StudyResults) -> dict[str, bytes]:
    """The tables (CSV, Markdown, LaTeX) and figures (PNG) of a study, by file name; equal studies give equal bytes.

    `results.json` holds the accuracies themselves, from which `python -m robustdd table` writes the tables again.
    """
    found = findings(study)
    result = tables.result_table(found.lines)
    files = {
        "results.json": results_json(study),
        "results.csv": result.as_csv(),
        "results.md": result.as_markdown(),
        "results.tex": result.as_latex(),
        "nets.csv": tables.nets_table(study.rows, study.full).as_csv(),
    }
    if found.comparisons:
        files["differences.csv"] = tables.comparison_table(found.comparisons).as_csv()
    if found.views:
        files["detection.csv"] = tables.quality_table(found.views).as_csv()
        files["detection-by-class.csv"] = tables.class_table(found.views).as_csv()
        files["subsets.csv"] = tables.subset_table(found.views).as_csv()
    for view in sorted(study.reliability):
        files[f"suspects-{view}.csv"] = tables.suspect_table(suspect_labels(view, study.reliability[view])).as_csv()
    drawn = {f"{figure.name}.png": figure.draw(LIGHT) for figure in planned_figures(study, found.lines)}
    return {name: text.encode() for name, text in files.items()} | drawn


def results_json(study: StudyResults) -> str:
    """The accuracies of a study as JSON: `name`, `rows` and `full`; read back by `robustdd.reporting.collect`."""
    rows = [asdict(row) for row in sorted(study.rows, key=lambda row: row.row)]
    full = [asdict(one) for one in sorted(study.full, key=lambda one: one.cell)]
    return json.dumps({"name": study.name, "rows": rows, "full": full}, indent=1, ensure_ascii=False) + "\n"


def planned_figures(study: StudyResults, lines: list[Line]) -> Iterator[PlannedFigure]:
    """Every figure that the study has the numbers for, in the order of the page."""
    if lines:
        caption = "Mean test accuracy of each setting; the bar is ± 1 sd, a small dot one distillation seed."
        yield PlannedFigure("accuracy", "results", caption, partial(figures.accuracy_by_row, lines))
    if _has_sweep(lines):
        caption = "Test accuracy over images a class; the dashed rule is training on all noisy images."
        yield PlannedFigure("accuracy-by-ipc", "results", caption, partial(figures.accuracy_by_ipc, lines))
    for row in (row for line in lines for row in line.rows if row in study.pictures):
        draw = partial(pictures.before_after, study.pictures[row])
        yield PlannedFigure(f"images-{row}", "pictures", row, draw)
    yield from _curve_figures(study, lines)
    for view in sorted(study.reliability):
        draw = partial(diagnostics.weight_histograms, view, study.reliability[view])
        yield PlannedFigure(f"weights-{view}", "weights", f"{view}: weights by whether the label is right.", draw)
    for cell in sorted(study.noise):
        noise = study.noise[cell]
        rate = "" if noise.realised_rate is None else f"; {100 * noise.realised_rate:.1f} % of the labels are wrong"
        draw = partial(diagnostics.transition_figure, noise)
        yield PlannedFigure(
            f"transition-{cell}", "noise", f"{cell}: probability, in %, of each observed label{rate}.", draw
        )


def _curve_figures(study: StudyResults, lines: list[Line]) -> Iterator[PlannedFigure]:
    """One figure a cell and IPC, so that methods that are compared share their axes."""
    for (cell, ipc), group in groupby(lines, key=lambda line: (line.cell, line.ipc)):
        named = [
            diagnostics.NamedCurve(line.short_label, line.method, study.curves[row])
            for line in group
            for row in line.rows
            if row in study.curves
        ]
        if named:
            caption = f"{cell}, {ipc} {'image' if ipc == 1 else 'images'} a class."
            yield PlannedFigure(f"curves-{cell}-ipc{ipc}", "curves", caption, partial(diagnostics.loss_curves, named))


def _has_sweep(lines: list[Line]) -> bool:
    sizes = {(line.cell, line.method, line.ipc) for line in lines if line.ipc is not None}
    per_method = [len(list(group)) for _, group in groupby(sorted(sizes), key=lambda size: size[:2])]
    return max(per_method, default=0) >= 3
