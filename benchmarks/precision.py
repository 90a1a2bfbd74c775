"""What compiling and bfloat16 do to accuracy: a small distillation on real CIFAR-10, end to end, in every setting.

`python -m benchmarks.precision` (the images are found under ROBUSTDD_DATA) trains teachers in every setting, distils
with each and trains fresh networks on every set, these always as written; it writes results/precision.json and .md.
Every run is kept as soon as it is done: a run of the whole that was cut off goes on; other code, sizes, device or torch
begin anew. `make results` writes the .md alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.precision_runs import SIZES, Bench, Data, Run, Sizes, cases
from benchmarks.precision_table import as_markdown
from benchmarks.problem import CACHE
from robustdd.devices import device_model
from robustdd.store.disk import write_atomically
from robustdd.store.provenance import commit
from tasks.cache.code import code_hash
from tasks.cache.worker import prepare_torch

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "precision.json")
    asked = parser.parse_args(arguments)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(CACHE / "compiled"))
    prepare_torch(asked.threads)
    print(as_markdown(measure(SIZES, asked.out, CACHE, asked.device)))
    return 0


def measure(sizes: Sizes, path: Path, cache: Path, device: str) -> Run:
    """Make every run that `path` does not hold, writing it and its table after each; returns what it holds then."""
    known = identity(sizes, device)
    record: Run = json.loads(path.read_bytes()) if path.exists() else {}
    if record.get("identity") != known:
        record = {"identity": known, "runs": {}}
    wanted = {json.dumps(case, sort_keys=True): case for case in cases(sizes)}
    bench: Bench | None = None
    for key, case in wanted.items():
        if key in record["runs"]:
            continue
        if bench is None:
            name = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
            bench = Bench(sizes, Data.of(sizes, device), cache / f"precision-{name}")
            record |= {"data": bench.data.facts, "commit": commit()}
        record["runs"][key] = bench.run(case)
        print(f"{key}: {json.dumps(record['runs'][key])}", flush=True)
        write_atomically(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
        write_atomically(path.with_suffix(".md"), as_markdown(record).encode())
    return record


def identity(sizes: Sizes, device: str) -> Run:
    """What a kept run must share with this one."""
    where = {"device": device_model(torch.device(device)), "threads": torch.get_num_threads()}
    code = code_hash("benchmarks.precision_runs")[:12]
    found = {**where, "torch": torch.__version__, "code": code, "sizes": asdict(sizes)}
    told: Run = json.loads(json.dumps(found))  # as a file gives it back
    return told


if __name__ == "__main__":
    sys.exit(main())
