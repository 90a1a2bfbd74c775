"""The sizes at which `benchmarks.table2` runs: as many teachers, epochs and iterations as the time allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from robustdd.params import (
    Dataset,
    Engine,
    Evaluate,
    Finetune,
    Forgetting,
    Neighbours,
    Network,
    Recipe,
    Subset,
    Teachers,
)


@dataclass(frozen=True)
class Scale:
    """Everything that a column depends on but the noise's rate."""

    ipc: int
    dataset: Dataset
    network: Network
    engine: Engine
    forgetting: Forgetting
    teachers: Teachers
    neighbours: Neighbours
    subset: Subset
    finetune: Finetune
    recipe: Recipe
    evaluate: Evaluate


def lent(ipc: int | None = None) -> Scale:
    """Half an hour of one H100 by count, which nobody has measured: the paper's network and images, a twentieth of its
    teachers, a quarter of their epochs, a twenty-fifth of the iterations; starts as DATM's, brought to these epochs."""
    ipc = 10 if ipc is None else ipc
    return Scale(
        ipc=ipc,
        dataset=Dataset("cifar10"),
        network=Network(128, 3),
        engine=Engine("on", "float32", "off", 0),
        forgetting=Forgetting(epochs=10, batch_size=256, learning_rate=0.02, network=Network(128, 3)),
        teachers=Teachers(num_teachers=5, epochs=24),
        neighbours=Neighbours(20, "torch"),
        subset=Subset(),
        finetune=Finetune(first_start=0, last_start=14, epochs=2),
        recipe=Recipe(
            iterations=400,
            inner_steps=80,
            batch_size=min(10 * ipc, 500),
            image_step=100.0 if ipc <= 10 else 1000.0,
            first_max_start=5,
            max_start=15,
            expansion_iterations=120,
        ),
        evaluate=Evaluate(),
    )


def toy(ipc: int | None = None) -> Scale:
    """Seconds on a CPU: shows that the command runs to its end, and nothing else."""
    return Scale(
        ipc=1 if ipc is None else ipc,
        dataset=Dataset("cifar10", train_share=0.01),
        network=Network(4, 3),
        engine=Engine("off", "float32", "off", 0),
        forgetting=Forgetting(epochs=2, network=Network(4, 3)),
        teachers=Teachers(num_teachers=2, epochs=4, optimizer="sgd"),
        neighbours=Neighbours(5, "torch"),
        subset=Subset(),
        finetune=Finetune(first_start=0, last_start=1, epochs=1),
        recipe=Recipe(
            iterations=3,
            inner_steps=3,
            teacher_epochs=1,
            batch_size=10,
            first_max_start=1,
            max_start=2,
            expansion_iterations=2,
            checkpoint_every=1,
        ),
        evaluate=Evaluate(epochs=2, decay_epoch=1, seeds=(0, 1)),
    )


SCALES: dict[str, Callable[[int | None], Scale]] = {"lent": lent, "toy": toy}
