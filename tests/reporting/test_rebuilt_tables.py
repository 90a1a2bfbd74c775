"""Every committed table is what its JSON gives, and `make results` brings it back."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.tables import rebuild
from tests.support.pipeline import CODE


def test_the_committed_tables_come_from_the_json_beside_them(tmp_path: Path) -> None:
    results, readme = Path(shutil.copytree(CODE / "results", tmp_path / "results")), tmp_path / "README.md"
    shutil.copy(CODE / "README.md", readme)
    written = {path.relative_to(tmp_path) for path in rebuild(results, readme)}
    assert {
        Path("results/demo/results.md"),
        Path("results/demo/differences.csv"),
        Path("results/detection.md"),
    } < written
    for path in written:
        assert (tmp_path / path).read_bytes() == (CODE / path).read_bytes(), path


def test_a_table_that_is_gone_is_written_again(tmp_path: Path) -> None:
    results, readme = Path(shutil.copytree(CODE / "results", tmp_path / "results")), tmp_path / "README.md"
    shutil.copy(CODE / "README.md", readme)
    (results / "demo" / "results.csv").unlink()
    (results / "detection.md").write_text("0.999\n")
    rebuild(results, readme)
    assert (results / "demo" / "results.csv").read_bytes() == (CODE / "results/demo/results.csv").read_bytes()
    assert (results / "detection.md").read_text(encoding="utf-8") != "0.999\n"
