"""Does the weighting find wrong labels? Scores on real CIFAR-10, one cell after the other, resumable.

`python -m benchmarks.detection` runs every cell that results/detection.json lacks (an hour and a quarter of one core;
the images are found under ROBUSTDD_DATA), `--table` writes results/detection.md from it. A seed draws the noise and the
networks; the images are the same for all.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.detection_cell import Data, Sizes, measure
from benchmarks.detection_table import as_markdown
from robustdd.artifacts import write_atomically
from robustdd.datasets import open_source
from robustdd.devices import device_model
from robustdd.params import Dataset, Forgetting, Neighbours, Network, Noise, Subset, Teachers
from robustdd.rng import generator
from robustdd.study import params_of
from robustdd.whitening import fit
from tasks.producing import commit

RESULTS = Path(__file__).resolve().parent.parent / "results"
NOISES: dict[str, dict[str, Any]] = {
    "cifar10-sym20": {"kind": "symmetric", "rate": 0.2},
    "cifar10-sym40": {"kind": "symmetric", "rate": 0.4},
    "cifar10-asym20": {"kind": "asymmetric", "rate": 0.2},
    "cifar10-asym40": {"kind": "asymmetric", "rate": 0.4},
    "cifar10n-aggre": {"kind": "human", "annotation": "aggre"},
    "cifar10n-worse": {"kind": "human", "annotation": "worse"},
}
WIDTH = Network(width=32, depth=3)


def sizes_of(images: int, epochs: int, seed: int) -> Sizes:
    """Sizes for a CPU: everything but these numbers is a default of params, the same in every cell."""
    training: dict[str, Any] = {"epochs": epochs, "batch_size": 64, "learning_rate": 0.02, "momentum": 0.9}
    return Sizes(
        images=images,
        network=WIDTH,
        forgetting=Forgetting(**training, network=WIDTH, seeds=(seed,)),
        teachers=Teachers(**training, num_teachers=3, optimizer="sgd", seed=seed),
        neighbours=Neighbours(k=20),
        subset=Subset(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", nargs="+", choices=NOISES, default=list(NOISES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS / "detection.json")
    parser.add_argument("--table", action="store_true", help="only write the table")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if not asked.table:
        _run(asked)
    write_atomically(asked.out.with_suffix(".md"), as_markdown(json.loads(asked.out.read_bytes())).encode())


def _run(asked: argparse.Namespace) -> None:
    asked.out.parent.mkdir(exist_ok=True)
    runs: list[dict[str, Any]] = json.loads(asked.out.read_bytes()) if asked.out.exists() else []
    data = None
    for seed in asked.seeds:
        sizes = sizes_of(asked.images, asked.epochs, seed)
        for cell in asked.cells:
            asks = {"cell": cell, "seed": seed, "sizes": params_of(sizes)}
            if any(all(run[key] == json.loads(json.dumps(value)) for key, value in asks.items()) for run in runs):
                print(f"{cell}, seed {seed}: there already", flush=True)
                continue
            data = data or _data(asked.images)
            human = NOISES[cell]["kind"] == "human"
            noise = Noise(**NOISES[cell], **({} if human else {"seed": seed}))
            started = time.monotonic()
            runs.append({**asks, **_machine(), **measure(data, noise, seed, sizes)})
            write_atomically(asked.out, (json.dumps(runs, indent=1) + "\n").encode())
            print(f"{cell}, seed {seed}: {time.monotonic() - started:.0f} s", flush=True)


def _data(count: int) -> Data:
    """A fixed random part of the training images; labels are those of all, so that any noise is the whole set's."""
    train = open_source(Dataset(kind="cifar10")).train()
    chosen = torch.randperm(len(train), generator=generator("detection", "images"))[:count].sort().values
    part = train.select(chosen)
    return Data(fit(part.images, "zca", 0.1).apply(part.images), chosen, part.ids, train.labels, train.class_names)


def _machine() -> dict[str, Any]:
    facts = {"device": device_model(torch.device("cpu")), "threads": torch.get_num_threads()}
    return {"commit": commit(), **facts, "torch": torch.__version__, "python": platform.python_version()}


if __name__ == "__main__":
    main()
