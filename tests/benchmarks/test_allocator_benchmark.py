"""The benchmark of kept memory: every variant in a process of its own, and the table of its record."""

from __future__ import annotations

import json
import platform

import pytest

from benchmarks import allocator
from benchmarks.allocator_table import as_markdown

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")


def test_all_variants_are_asked_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(allocator, "ENGINES", {"teachers": ("adjoint",)})
    lines = allocator.measured({"part": "teachers", "width": 8, "batch": 16, "steps": 1}, rounds=2)
    assert [(line["variant"], line["keep"]) for line in lines] == [
        ("loop", False),
        ("loop", True),
        ("adjoint", False),
        ("adjoint", True),
    ]
    assert lines[0]["ratio"] == 1 and all(line["seconds"] > 0 and line["peak_mb"] > 50 for line in lines)
    found = {"commit": "c", "device": "d", "threads": 1, "rounds": 2, "versions": {"torch": "2", "libc": "glibc"}}
    told = as_markdown(json.loads(json.dumps({**found, "works": {"teacher's steps": lines}})))
    assert "## Teacher's steps" in told and told.count("| MTT's loop |") == 2
    assert f"| engine, not compiled | kept | {lines[3]['seconds']:.2f} | {lines[3]['ratio']:.2f} |" in told


def test_a_process_that_fails_ends_the_benchmark(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="its process ended with 1"), allocator.worker({"part": "teachers"}):
        raise AssertionError("not reached")
