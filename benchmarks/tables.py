"""Every table under results/, and README.md's, made again from the JSON beside it: `python -m benchmarks.tables`.

Pictures, and the tables of single samples' weights, need the artifacts of a study and are left as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import allocator_table, detection_table, engine_table, evidence_table, precision_table
from robustdd.reporting.collect import collect, report_paths
from robustdd.reporting.readme import write_readme
from robustdd.reporting.report import report_files
from robustdd.store.artifacts import write_atomically

ROOT = Path(__file__).resolve().parent.parent
WRITERS: dict[str, Callable[[Any], str]] = {
    "allocator.json": allocator_table.as_markdown,
    "detection.json": detection_table.as_markdown,
    "bench-*.json": engine_table.as_markdown,
    "precision.json": precision_table.as_markdown,
    "*/evidence.json": evidence_table.as_markdown,
}
"""What writes the Markdown beside a JSON that no study's report left."""


def rebuild(results: Path, readme: Path) -> list[Path]:
    """Write the tables of every study and every benchmark in `results`, and the generated part of `readme`.

    Returns what was written. CorruptArtifact or UserError for a JSON that is not what it should be.
    """
    files = {path: content for written in (_studies(results), _benchmarks(results)) for path, content in written}
    for path, content in files.items():
        write_atomically(path, content)
    write_readme(readme, results)
    return [*files, readme]


def _studies(results: Path) -> Iterator[tuple[Path, bytes]]:
    for path in report_paths(results):
        (study,) = collect(path)
        for name, content in report_files(study).items():
            if not name.endswith(".png"):
                yield path.with_name(name), content


def _benchmarks(results: Path) -> Iterator[tuple[Path, bytes]]:
    for pattern, written in WRITERS.items():
        for path in sorted(results.glob(pattern)):
            yield path.with_suffix(".md"), written(json.loads(path.read_bytes())).encode()


if __name__ == "__main__":
    for path in rebuild(ROOT / "results", ROOT / "README.md"):
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
