"""How busy the GPU of a unit is, as nvidia-smi tells it: logged while the unit runs, never waited for."""

from __future__ import annotations

import contextvars
import logging
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

log = logging.getLogger("robustdd.run")

EVERY_SECONDS = 30.0
FIRST_SECONDS = 5.0
"""Not at once: the first kernels have to be loaded before the GPU is busy."""
_QUERY = "--query-gpu=name,memory.used,memory.total,utilization.gpu"


@dataclass(frozen=True)
class Gauge:
    """One look at a GPU: memory in MiB, of all its processes, and the share of the last second that a kernel ran."""

    name: str
    used: int
    total: int
    busy: int

    def __str__(self) -> str:
        return f"{self.name}: {self.used / 1024:.1f} of {self.total / 1024:.1f} GiB in use, {self.busy} % busy"


def gauge(device: torch.device) -> Gauge | None:
    """A look at a CUDA device; None where nvidia-smi is missing, hangs or does not know.

    The device is named by its UUID, for nvidia-smi counts the GPUs that CUDA_VISIBLE_DEVICES hides as well.
    """
    try:
        uuid = torch.cuda.get_device_properties(device).uuid
        command = ("nvidia-smi", f"--id=GPU-{uuid}", _QUERY, "--format=csv,noheader,nounits")
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        name, *numbers = (part.strip() for part in done.stdout.splitlines()[0].split(","))
        used, total, busy = (int(number) for number in numbers)
    except (OSError, ValueError, IndexError, AttributeError, RuntimeError, AssertionError, subprocess.SubprocessError):
        return None
    return Gauge(name, used, total, busy)


@contextmanager
def gauged(
    unit: str, device: torch.device, look: Callable[[torch.device], Gauge | None] = gauge, every: float = EVERY_SECONDS
) -> Iterator[None]:
    """Log now and then how busy the GPU is while the body runs; nothing on a CPU, or when there is nothing to tell."""
    if device.type != "cuda":
        yield
        return
    over = threading.Event()

    def watch() -> None:
        wait = min(FIRST_SECONDS, every)
        while not over.wait(wait):
            found = look(device)
            if found is None:
                return
            log.info("%s: %s", unit, found)
            wait = every

    # In a copy of the context: Prefect knows by it which run a log line belongs to.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(watch,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
