"""A column of the paper's table 2 by the core alone, for a GPU lent by the minute: `python -m benchmarks.table2`.

No Prefect, DVC or FAISS: the same functions with the same seeds as the stages call, one result a step, kept in
--folder. A run that was cut off, or that ends itself after --minutes with exit code 3, goes on where it was when it is
called again. CIFAR-10 is looked for under ROBUSTDD_DATA; a copy without a repository is told its commit by
ROBUSTDD_COMMIT. results/table2-SCALE-NOISE-ipcN.json holds what came out, after every step; the distilled sets lie in
--folder and are small enough to keep.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.table2_column import Column, TimeUpError
from benchmarks.table2_scales import SCALES, Scale
from robustdd.devices import device_model
from robustdd.exactness import compute_exactly
from robustdd.store.disk import write_atomically
from robustdd.store.provenance import commit

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 when the column is whole, 3 when time was up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=sorted(SCALES), default="lent")
    parser.add_argument("--rate", type=float, default=0.4, help="symmetric noise")
    parser.add_argument("--ipc", type=int, help="images a class, instead of the scale's")
    parser.add_argument("--seeds", type=int, default=1, help="distillation seeds")
    parser.add_argument("--minutes", type=float, default=8.5, help="the longest step without a checkpoint comes on top")
    parser.add_argument("--tf32", action="store_true", help="let a GPU round the operands of products to 10 bits")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--folder", type=Path, default=ROOT / ".robustdd" / "table2")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    asked = parser.parse_args(arguments)
    compute_exactly(torch.get_num_threads())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = asked.tf32
    scale = SCALES[asked.scale](asked.ipc)
    name = f"{asked.scale}-sym{round(100 * asked.rate)}-ipc{scale.ipc}{'-tf32' if asked.tf32 else ''}"
    folder = asked.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    _same_run(folder, scale)
    deadline = time.monotonic() + 60 * asked.minutes
    column = Column(scale, asked.rate, folder, torch.device(asked.device), deadline)
    try:
        column.run(asked.seeds)
        code = 0
    except TimeUpError:
        sys.stdout.write("time is up: run again to go on\n")
        code = 3
    told = {"whole": code == 0, "scale": asdict(scale), "rate": asked.rate, "tf32": asked.tf32, **_where(column.device)}
    content = json.dumps({**told, "steps": column.facts}, indent=1) + "\n"
    asked.out.mkdir(parents=True, exist_ok=True)
    write_atomically(asked.out / f"table2-{name}.json", content.encode())
    return code


def _same_run(folder: Path, scale: Scale) -> None:
    """Refuse to go on with steps that other settings made."""
    path, now = folder / "scale.txt", repr(scale)
    if path.exists() and path.read_text() != now:
        raise SystemExit(f"{folder} holds steps of other settings; choose another --folder, or remove it")
    path.write_text(now)


def _where(device: torch.device) -> dict[str, Any]:
    return {"commit": commit(), "device": device_model(device), "torch": torch.__version__}


if __name__ == "__main__":
    sys.exit(main())
