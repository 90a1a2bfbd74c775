"""The part of README.md that is generated: no number there is typed by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from robustdd.errors import UserError
from robustdd.reporting import tables
from robustdd.reporting.collect import collect, report_paths
from robustdd.reporting.differences import comparisons
from robustdd.reporting.durations import duration
from robustdd.reporting.grouping import method_order
from robustdd.reporting.records import Provenance, StudyResults
from robustdd.reporting.summary import caveats, result_lines

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
PICTURE = Path("docs") / "distilled.png"


def results_block(studies: Iterable[StudyResults], picture: bool) -> str:
    """The Markdown between the markers: for each study its results, its differences, what to know, and where it ran.

    With `picture` the distilled set of docs/distilled.png follows.
    """
    parts = [_study(study) for study in studies]
    if picture:
        parts.append(f"![A distilled set: before, real images; after, distilled]({PICTURE.as_posix()})\n")
    return "\n".join(parts)


def replace_block(text: str, block: str) -> str:
    """`text` with `block` between its markers. UserError when it has not both, once, in order."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise UserError(f"README.md: expected {BEGIN} and then {END}, each once")
    return f"{before}{BEGIN}\n{block}{END}{after}"


def write_readme(readme: Path, results: Path) -> None:
    """Write the saved `results` of every study into `readme`, and a picture of a distilled set to docs/distilled.png.

    Nothing saved leaves the block empty. UserError for a README without the markers.
    """
    from robustdd.store.artifacts import write_atomically

    studies = collect(results) if report_paths(results) else []
    picture = next((found for study in studies if (found := _picture(results / study.name, study))), None)
    text = replace_block(readme.read_text(encoding="utf-8"), results_block(studies, picture is not None))
    if picture is not None:
        target = readme.parent / PICTURE
        target.parent.mkdir(exist_ok=True)
        write_atomically(target, picture.read_bytes())
    write_atomically(readme, text.encode())


def measured_on(runs: Iterable[Provenance]) -> str:
    """One sentence: devices, threads, torch, commits and computing time of a study's runs; empty without runs."""
    runs = tuple(runs)
    if not runs:
        return ""
    told = {
        "on": {run.device for run in runs},
        "threads a task:": {str(run.threads) for run in runs},
        "torch": {run.versions["torch"] for run in runs if "torch" in run.versions},
        "commit": {run.commit for run in runs},
    }
    words = ", ".join(f"{name} {' and '.join(sorted(values))}" for name, values in told.items() if values)
    return f"Measured {words}; computing time {duration(sum(run.seconds for run in runs))} in {len(runs)} stages."


def _study(study: StudyResults) -> str:
    lines, found = result_lines(study.rows, study.full), comparisons(study.rows)
    parts = [
        f"**{study.name}**: test accuracy of fresh networks trained on each set.\n",
        tables.result_table(lines).as_markdown(),
    ]
    if found:
        parts += [
            "Differences in percentage points, paired by distillation seed:\n",
            tables.comparison_table(found).as_markdown(),
        ]
    parts.append(
        "".join(f"- {sentence}\n" for sentence in [*caveats(lines), measured_on(study.provenance)] if sentence)
    )
    return "\n".join(parts)


def _picture(folder: Path, study: StudyResults) -> Path | None:
    """Picture of the last method's first row that has one."""
    rows = sorted(study.rows, key=lambda row: row.row)
    paths = [
        folder / f"images-{row.row}.png" for row in sorted(rows, key=lambda row: method_order(row.method), reverse=True)
    ]
    return next((path for path in paths if path.exists()), None)
