"""Timing side by side, and the peak of memory."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch


def synchronise(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: str) -> float:
    """Wall-clock seconds of one call."""
    synchronise(device)
    begun = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - begun


def interleaved(
    variants: Mapping[str, Callable[[], object]], rounds: int, device: str, warm: bool = True
) -> dict[str, dict[str, float]]:
    """Median seconds of every variant, and the median over rounds of the first variant's time over its own.

    All variants run once in every round: on a shared machine only ratios within a round mean something. With `warm`
    the first call of each is beside the clock; calls of minutes do without.
    """
    for work in variants.values() if warm else ():
        work()
    times = {name: [] for name in variants}
    for _ in range(rounds):
        for name, work in variants.items():
            times[name].append(seconds(work, device))
    first = times[next(iter(times))]
    return {
        name: {
            "seconds": statistics.median(own),
            "ratio": statistics.median([one / other for one, other in zip(first, own, strict=True)]),
        }
        for name, own in times.items()
    }


def matmul_peak(device: str, dtype: torch.dtype) -> float:
    """GFLOP/s of a large matrix product, the best of several."""
    size = 8192 if device == "cuda" else 1536
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    torch.mm(one, other)
    return 2e-9 * size**3 / min(seconds(lambda: torch.mm(one, other), device) for _ in range(7))


def peak_bytes(work: Callable[[], object], device: str) -> int:
    """Bytes by which `work` raises the peak: of a process of its own on a CPU, of the allocator on a GPU."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = memory("VmRSS")
    work()
    return memory("VmHWM") - before


def memory(name: str) -> int:
    """Bytes of this process that Linux tells under `name` (VmRSS, VmHWM: now, at most); 0 elsewhere.

    Not getrusage's peak: a child begins with its parent's.
    """
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0
