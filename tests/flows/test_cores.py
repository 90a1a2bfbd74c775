"""How many cores a control group leaves: the smallest quota on the way up, rounded down, and never less than one."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from flows import fanout
from flows.quota import quota

V2 = "0::/outer/inner\n"
V1 = "5:memory:/\n4:cpuset:/elsewhere\n3:cpu,cpuacct:/outer/inner\n1:name=systemd:/x\n0::/\n"


def counted(folder: Path, told: str, files: dict[str, str]) -> float:
    """The quota under `files` of a tree of control groups, for a process that is told to be in `told`."""
    for name, text in files.items():
        path = folder / "mounts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    (folder / "told").write_text(told)
    return quota(folder / "told", folder / "mounts")


def v1(group: str, share: int, period: int = 100_000, mount: str = "cpu") -> dict[str, str]:
    return {f"{mount}/{group}/cpu.cfs_quota_us": str(share), f"{mount}/{group}/cpu.cfs_period_us": str(period)}


CASES = {
    "its own": (V2, {"outer/inner/cpu.max": "300000 100000"}, 3.0),
    "the one above": (V2, {"outer/cpu.max": "150000 50000", "outer/inner/cpu.max": "max 100000"}, 3.0),
    "the smaller": (V2, {"outer/cpu.max": "500000 100000", "outer/inner/cpu.max": "450000 100000"}, 4.5),
    "a container's root": ("0::/\n", {"cpu.max": "700000 100000"}, 7.0),
    "a name from outside": ("0::/../../docker/12ab\n", {"cpu.max": "200000 100000"}, 2.0),
    "hybrid": (V2, {"unified/outer/inner/cpu.max": "100000 100000"}, 1.0),
    "none": (V2, {"outer/inner/cpu.max": "max 100000"}, math.inf),
    "no file": (V2, {"outer/inner/memory.max": "1"}, math.inf),
    "not a number": (V2, {"outer/inner/cpu.max": "some"}, math.inf),
    "version 1": (V1, v1("outer/inner", 250_000), 2.5),
    "version 1, above": (V1, {**v1("outer", 400_000), **v1("outer/inner", -1)}, 4.0),
    "version 1, by its whole name": (V1, v1("outer/inner", 300_000, mount="cpu,cpuacct"), 3.0),
    "version 1 of a container": ("3:cpu:/docker/12ab\n", v1("", 600_000, 200_000), 3.0),
    "another controller": ("4:cpuset:/a\n", v1("a", 100_000), math.inf),
}


@pytest.mark.parametrize("case", CASES)
def test_the_smallest_quota_on_the_way_up(case: str, tmp_path: Path) -> None:
    told, files, expected = CASES[case]
    assert counted(tmp_path, told, files) == expected


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path / "none", tmp_path) == math.inf


@pytest.mark.parametrize(
    ("seen", "left", "cores"), [(64, 2.0, 2), (64, 3.9, 3), (4, 16.0, 4), (8, 0.5, 1), (6, math.inf, 6)]
)
def test_the_smaller_of_affinity_and_quota(seen: int, left: float, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(seen)), raising=False)
    monkeypatch.setattr(fanout, "quota", lambda: left)
    assert fanout._cores() == cores
