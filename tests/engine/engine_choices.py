"""What the engine's `auto` picks, as a table: `python -m tests.engine.engine_choices` writes it into docs/engine.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from robustdd.engine.microbatches import CHUNK_VALUES
from robustdd.engine.settings import REPAYS, SWEEPS, _forward_flops, _shape, student_engine, teacher_engine
from robustdd.params import Dataset, Engine, Network, Recipe, Teachers
from robustdd.study.load import load_study

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "engine.md"
BEGIN, END = "<!-- auto:begin -->", "<!-- auto:end -->"
STUDIES = ("studies/detection", "studies/cifar10-small")
AUTO = Engine()


@dataclass(frozen=True)
class Work:
    """Something that a study has trained or distilled."""

    what: str
    network: Network
    dataset: Dataset
    training: Teachers | Recipe

    def line(self, device: str) -> str:
        """What `auto` picks for it on a kind of device."""
        kind = "teacher" if isinstance(self.training, Teachers) else "distillation"
        if isinstance(self.training, Teachers):
            picked = teacher_engine(AUTO, self.network, self.dataset, self.training, device)
            batch, keep = self.training.batch_size, ""
        else:
            picked = student_engine(AUTO, self.network, self.dataset, self.training, device)
            batch, keep = self.training.batch_size, picked.keep
        share = self.operations() / REPAYS[device]
        told = f"{share:,.0f}" if share >= 10 else f"{share:.1g}"
        whole = "" if keep == "" else str(min(batch, self._part(device)))
        return f"| {self.what} | {kind} | {device} | {told} | {picked.compile} | {keep} | {whole} |"

    def operations(self) -> float:
        """Operations of its convolutions, which `compile: auto` goes by."""
        forward = _forward_flops(self.network, self.dataset)
        if isinstance(self.training, Recipe):
            steps = self.training.iterations * self.training.inner_steps
            return SWEEPS * forward * steps * self.training.batch_size
        used = 1 - self.dataset.holdout if self.dataset.train_share is None else self.dataset.train_share
        images = {"digits": 1797, "cifar10": 50_000}[self.dataset.kind] * used
        return (6 if self.training.optimizer == "gsam" else 3) * forward * images * self.training.epochs

    def _part(self, device: str) -> int:
        _, height, width = _shape(self.dataset)
        return max(1, CHUNK_VALUES[device] // (2 * self.network.width * height * width))


def works() -> Iterator[Work]:
    """The committed studies, and the paper's sizes on CIFAR-10."""
    for name, folder in (("the demo", ROOT), *((f"`{name}`", ROOT / name) for name in STUDIES)):
        study = load_study(folder)
        (dataset,) = study.datasets.values()
        yield Work(name, study.network, dataset, study.teachers)
        for recipe in study.recipes.values():
            yield Work(name, study.network, dataset, recipe)
    paper, network, cifar = "CIFAR-10, width 128", Network(), Dataset("cifar10")
    yield Work(f"{paper}, 100 epochs of GSAM", network, cifar, Teachers())
    for batch in (10, 100, 1000):
        yield Work(
            f"{paper}, 10,000 iterations of 80 steps on {batch} images",
            network,
            cifar,
            replace(Recipe(), batch_size=batch),
        )


def block() -> str:
    """The table in Markdown."""
    head = "| work | of a | device | operations / threshold | `compile` | `keep` | images a pass |"
    lines = [work.line(device) for work in works() for device in ("cpu", "cuda")]
    return "\n".join([head, "|---|---|---|--:|---|---|--:|", *lines])


def written(text: str) -> str:
    """A document with the table between its markers."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{block()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
