"""The engine against plain peers: `python -m benchmarks.engine` writes results/bench-<device>.json and .md.

Every case is a process of its own and is kept as soon as it is done: a run that was cut off, or that `--minutes` ends,
goes on where it was; another commit, device or torch begins anew. The core alone is needed (torch, numpy, safetensors;
pyarrow and pillow once, for CIFAR-10); scikit-learn and FAISS take part where they are installed. `--quick` measures a
little of everything in a few minutes and writes to .robustdd/bench.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine_table import as_markdown
from benchmarks.problem import CACHE, teacher
from robustdd.devices import device_model
from robustdd.store.disk import write_atomically
from robustdd.store.provenance import commit

GPU_SECONDS = 300
"""What one case may take of a GPU that is lent by the minute."""
ROOT = Path(__file__).resolve().parent.parent
ADJOINTS = ["adjoint", "compiled", "compiled, kept", "bfloat16", "bfloat16, kept"]
ALL = ["unroll", "tesla", *ADJOINTS]
Case = dict[str, Any]


def cases(device: str, quick: bool) -> Iterator[Case]:
    """What is measured, the most telling first."""
    for case in _quick() if quick else (_cuda() if device == "cuda" else _cpu()):
        yield {"threads": 1, "device": device, **case}


def _quick() -> Iterator[Case]:
    yield {"part": "gradient", "width": 64, "batch": 20, "steps": 1, "rounds": 5, "variants": ALL[:5]}
    yield {"part": "quality", "width": 32, "batch": 20, "steps": 5, "rate": 0.01, "variants": ALL[1:]}
    yield {"part": "teachers", "width": 32, "batch": 128, "steps": 2, "rounds": 3, "variants": ["adjoint", "compiled"]}
    yield {"part": "neighbours", "rows": 5000, "size": 512, "k": 20, "rounds": 3}
    for variant in ("unroll", "compiled"):
        for steps in (2, 6):
            yield {"part": "memory", "variant": variant, "width": 32, "batch": 20, "steps": steps}
    yield {"part": "determinism", "width": 32, "batch": 10, "steps": 3, "variants": ADJOINTS[:4]}


def _cpu() -> Iterator[Case]:
    for threads in (1, 2):
        for width, batch, steps in ((128, 100, 1), (128, 50, 1), (64, 50, 2), (64, 100, 1), (32, 50, 2), (32, 100, 2)):
            size = {"width": width, "batch": batch, "steps": steps, "rounds": 7, "threads": threads}
            yield {"part": "gradient", **size, "variants": ALL}
        names = ["adjoint", "compiled", "bfloat16"]
        size = {"width": 128, "batch": 256, "steps": 2, "rounds": 7, "threads": threads}
        yield {"part": "teachers", **size, "variants": names}
        size = {"rows": 50_000, "size": 2048, "k": 20, "rounds": 1, "threads": threads}
        yield {"part": "neighbours", **size}
    yield from _quality(32, 100, (10, 20, 40, 80))
    yield from _quality(128, 100, (10,))
    yield from _memory(32, 50, (10, 20, 40, 80), ["unroll", "adjoint", "compiled", "compiled, kept"])
    yield from _memory(64, 100, (10,), ["adjoint", "compiled", "compiled, parts of 25"])
    yield {"part": "determinism", "width": 32, "batch": 20, "steps": 5, "variants": ADJOINTS}


def _cuda() -> Iterator[Case]:
    for tf32 in (False, True):
        for batch, steps in ((100, 80), (500, 20), (1000, 10)):
            variants = ALL if batch == 100 else [name for name in ALL if "unroll" not in name]
            size = {"width": 128, "batch": batch, "steps": steps, "rounds": 5, "tf32": tf32}
            yield {"part": "gradient" if batch == 100 else "sweeps", **size, "variants": variants}
        size = {"width": 128, "batch": 256, "steps": 10, "rounds": 5, "tf32": tf32}
        yield {"part": "teachers", **size, "variants": ["adjoint", "compiled", "bfloat16"]}
        yield {"part": "determinism", "width": 128, "batch": 100, "steps": 5, "tf32": tf32, "variants": ADJOINTS}
    yield {"part": "neighbours", "rows": 50_000, "size": 2048, "k": 20, "rounds": 3}
    yield from _memory(128, 100, (10, 80), ["unroll", "adjoint", "compiled", "compiled, kept"])
    yield from _quality(128, 100, (10, 20, 40, 80))


def _quality(width: int, batch: int, steps: tuple[int, ...]) -> Iterator[Case]:
    for rate in (0.01, 0.05):
        for count in steps:
            names = ["unroll", "tesla", "adjoint", "compiled", "bfloat16"]
            size = {"width": width, "batch": batch, "steps": count, "rate": rate}
            yield {"part": "quality", **size, "variants": names}


def _memory(width: int, batch: int, steps: tuple[int, ...], variants: list[str]) -> Iterator[Case]:
    for variant in variants:
        for count in steps:
            yield {"part": "memory", "variant": variant, "width": width, "batch": batch, "steps": count}


def measure(case: Case, compiled: Path) -> Case:
    """What a process of its own finds; a failure is told in one line and is a result, too."""
    command = (sys.executable, "-m", "benchmarks.cases", json.dumps(case))
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(compiled), "PYTHONPATH": str(ROOT)}
    limit = None if case["device"] == "cpu" else GPU_SECONDS
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done in {limit} seconds"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no reason told"])[-1][:200]}
    found: Case = json.loads(done.stdout.splitlines()[-1])
    return found


def compile_times(device: str, width: int, batch: int) -> Case:
    """Seconds that compiling adds to the first gradient of a process, from nothing and from the cache on the disk."""
    case = {"part": "first", "variant": "compiled", "width": width, "batch": batch, "threads": 1, "device": device}
    with tempfile.TemporaryDirectory() as folder:
        cold, cached = (measure(case, Path(folder)) for _ in range(2))
    return {"cold": cold, "cached": cached}


def identity(device: str) -> dict[str, str]:
    """What a kept measurement must share with this run."""
    code = hashlib.sha256()
    files = [*(ROOT / "robustdd").glob("*.py"), *(ROOT / "robustdd").glob("*.cpp"), *(ROOT / "benchmarks").glob("*.py")]
    for path in sorted(files):
        code.update(path.read_bytes())
    model = device_model(torch.device(device))
    if device == "cpu":  # virtual machines name processors of several generations alike
        model += f" {torch.backends.cpu.get_cpu_capability()}"
    return {"device": model, "torch": torch.__version__, "code": code.hexdigest()[:12]}


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 when everything was measured, 3 when time was up and another run goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a little of everything")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no further case after this time")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, help="folder of the results")
    asked = parser.parse_args(arguments)
    known = identity(asked.device)
    name = re.sub(r"[^a-z0-9]+", "-", known["device"].lower()).strip("-")
    folder = asked.out or (CACHE if asked.quick else ROOT / "results")
    path = folder / f"bench-{'quick-' if asked.quick else ''}{name}.json"
    record = json.loads(path.read_bytes()) if path.exists() else {}
    if record.get("identity") != known:
        record = {"identity": known, "commit": commit(), "cores": os.cpu_count(), "cases": {}}
    begun, wanted = time.monotonic(), list(cases(asked.device, asked.quick))
    for width in sorted({case["width"] for case in wanted if "width" in case}):
        teacher(width)
    for case in [*wanted, *([] if asked.quick else [{"part": "compile", "width": 128, "batch": 50}])]:
        key = json.dumps(case, sort_keys=True)
        if key in record["cases"]:
            continue
        if time.monotonic() - begun > 60 * asked.minutes:
            print(f"time is up: run again to go on; so far in {path}")
            return 3
        if case["part"] == "compile":
            found = compile_times(asked.device, case["width"], case["batch"])
        else:
            found = measure(case, CACHE / "compiled")
        record["cases"][key] = found
        print(f"{time.monotonic() - begun:6.0f} s  {key}: {json.dumps(found)[:300]}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
        write_atomically(path.with_suffix(".md"), as_markdown(record).encode())
    print(as_markdown(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
