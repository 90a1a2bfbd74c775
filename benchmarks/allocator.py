"""What it is worth that a stage's process keeps freed memory (`robustdd.allocator`): the engine and its peers, each in
a process that does and in one that does not.

`python -m benchmarks.allocator` writes results/allocator.json and .md. The setting belongs to a whole process, so every
variant has one of its own; they are asked in turn, one round after the other, and ratios are of one round.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.allocator_table import as_markdown
from benchmarks.cases import gradient_of, training_of
from benchmarks.problem import problem
from benchmarks.timing import memory, seconds
from robustdd.allocator import keep_freed_memory
from robustdd.devices import device_model
from robustdd.store.disk import write_atomically
from robustdd.store.provenance import commit

RESULTS = Path(__file__).resolve().parent.parent / "results"
WORKS = {
    "teacher's steps, width 128, batch 256": {"part": "teachers", "width": 128, "batch": 256, "steps": 2},
    "teacher's steps, width 32, batch 128": {"part": "teachers", "width": 32, "batch": 128, "steps": 8},
    "gradient of the set, width 128, 100 images, 5 steps": {"part": "gradient", "width": 128, "batch": 100, "steps": 5},
    "gradient of the set, width 32, 50 images, 10 steps": {"part": "gradient", "width": 32, "batch": 50, "steps": 10},
}
PEERS = {"teachers": "loop", "gradient": "unroll"}
ENGINES = {"teachers": ("adjoint", "compiled"), "gradient": ("adjoint", "compiled")}
"""Names of benchmarks.cases: of a teacher `adjoint` is the engine as it is, uncompiled."""
Found = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.work:
        return serve(json.loads(asked.work))
    found = {
        "commit": commit(),
        "device": device_model(torch.device("cpu")),
        "threads": 1,
        "versions": {"torch": torch.__version__, "libc": " ".join(platform.libc_ver())},
        "rounds": asked.rounds,
        "works": {name: measured(work, asked.rounds) for name, work in WORKS.items()},
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    write_atomically(asked.out / "allocator.json", (json.dumps(found, indent=1) + "\n").encode())
    write_atomically(asked.out / "allocator.md", as_markdown(found).encode())
    return 0


def measured(work: Found, rounds: int) -> list[Found]:
    """Every variant with and without: median seconds, ratios to the peer as it runs by itself, peak of memory."""
    variants = [(name, keep) for name in (PEERS[work["part"]], *ENGINES[work["part"]]) for keep in (False, True)]
    with ExitStack() as stack:
        asks = [stack.enter_context(worker({**work, "variant": name, "keep": keep})) for name, keep in variants]
        times = [[float(ask("go")) for ask in asks] for _ in range(rounds)]
        peaks = [int(ask("peak")) for ask in asks]
    first = [one[0] for one in times]
    return [
        {
            "variant": name,
            "keep": keep,
            "seconds": statistics.median(one[index] for one in times),
            "ratio": statistics.median(peer / one[index] for peer, one in zip(first, times, strict=True)),
            "peak_mb": round(peaks[index] / 1e6),
        }
        for index, (name, keep) in enumerate(variants)
    ]


@contextmanager
def worker(work: Found) -> Iterator[Callable[[str], str]]:
    """A process that has the work ready and is asked for it in words."""
    command = (sys.executable, "-m", "benchmarks.allocator", "--work", json.dumps(work))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout

        def ask(word: str) -> str:
            assert process.stdin and process.stdout
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
            if not answer:
                raise SystemExit(f"{work}: its process ended with {process.wait()}")
            return answer

        ask("go")  # what is loaded, compiled or allocated once
        yield ask
        process.stdin.close()


def serve(work: Found) -> int:
    """Answer each line of standard input: `go` with seconds, `peak` with the peak of memory in bytes."""
    if work["keep"] and not keep_freed_memory():
        raise SystemExit("keep_freed_memory can do nothing here: glibc, and no settings of malloc, are needed")
    torch.set_num_threads(1)
    if work["part"] == "teachers":
        task = training_of({**work, "device": "cpu", "variants": ENGINES["teachers"]})[work["variant"]]
    else:
        task = gradient_of(work["variant"], problem(work["width"], work["batch"], work["steps"], "cpu"))
    for line in sys.stdin:
        print(memory("VmHWM") if line.strip() == "peak" else seconds(task, "cpu"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
