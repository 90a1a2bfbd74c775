"""The steps of `benchmarks.table2`, each kept in a file of its own: what the stages do, by the core alone."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.table2_scales import Scale
from robustdd.data.read import read
from robustdd.data.split import draw_used
from robustdd.data.whitening import fit
from robustdd.distillation.distill import distill
from robustdd.distillation.initialisation import selected_start
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.evaluation.evaluate import evaluate_synthetic
from robustdd.networks.convnet import ConvNet
from robustdd.noise.api import observe
from robustdd.params import Noise
from robustdd.rng import generator
from robustdd.store.checkpoints import Checkpoints
from robustdd.store.disk import write_atomically
from robustdd.store.manifest import JSON
from robustdd.trajectories.clean_targets import clean_target
from robustdd.trajectories.files import Trajectories
from robustdd.trajectories.teachers import train_teacher
from robustdd.weighting.consistency import consistency
from robustdd.weighting.forgetting import forgetting_score, halves, second_split, static_weight
from robustdd.weighting.reliability import confidence_variance, reliable_subset
from robustdd.weighting.weights import blend_maxima, blended_weight

ROWS = ("selected", "datm", "sgr", "ours")
Tensors = dict[str, Tensor]
Made = tuple[Tensors, dict[str, Any]]
"""What a step leaves: tensors, and facts as JSON."""


class TimeUpError(Exception):
    """The minutes are over; everything so far is kept."""


@dataclass(frozen=True)
class _Timed(Checkpoints):
    """Checkpoints that end the run once the time is up and the state is safe."""

    deadline: float = float("inf")

    def due(self, step: int, every: int) -> bool:
        return time.monotonic() > self.deadline or super().due(step, every)

    def save(
        self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, JSON], lasting: Mapping[str, Tensor] = {}
    ) -> None:
        super().save(step, tensors, facts, lasting)
        if time.monotonic() > self.deadline:
            raise TimeUpError


@dataclass(frozen=True)
class _Data:
    """Whitened images, labels and a test set on the device."""

    images: Tensor
    observed: Tensor
    right: Tensor
    ids: tuple[str, ...]
    test_images: Tensor
    test_labels: Tensor


@dataclass
class Column:
    """One run: its scale, its folder, and what every step took."""

    scale: Scale
    rate: float
    folder: Path
    device: torch.device
    deadline: float
    facts: dict[str, Any] = field(default_factory=dict)

    def kept(self, name: str, work: Callable[[Checkpoints], Made]) -> tuple[Tensors, Any]:
        """What a step gave, from its file where there is one. TimeUpError before a step that has no time left."""
        path, told = self.folder / f"{name}.safetensors", self.folder / f"{name}.json"
        if not told.exists():
            if time.monotonic() > self.deadline:
                raise TimeUpError
            begun = time.monotonic()
            points = _Timed(self.folder / "checkpoints" / name, {"step": name}, self.deadline)
            tensors, facts = work(points)
            save_file({key: value.contiguous().cpu() for key, value in tensors.items()}, path)
            facts |= {"seconds": round(time.monotonic() - begun, 2)}
            write_atomically(told, json.dumps(facts).encode())
            points.clear()
            sys.stdout.write(f"{name}: {json.dumps(facts)[:160]}\n")
            sys.stdout.flush()
        self.facts[name] = json.loads(told.read_bytes())
        return load_file(path, device=str(self.device)), self.facts[name]

    def network(self) -> ConvNet:
        return ConvNet(3, (32, 32), 10, self.scale.network.width, self.scale.network.depth)

    def run(self, seeds: int) -> None:
        """Every step of the column in its order."""
        if time.monotonic() > self.deadline:
            raise TimeUpError
        data = self.data()
        static = self.static(data)
        finals = {view: self.teachers(data, view, static) for view in ("plain", "sgr")}
        cleaned = self.targets(data, static, finals["sgr"])
        for seed in range(seeds):
            for row in ROWS:
                view = "plain" if row in ("datm", "selected") else "sgr"
                self.row(data, row, seed, finals[view], cleaned)

    def data(self) -> _Data:
        params = self.scale.dataset
        split = read(params)
        assert split.test is not None
        noise = Noise("symmetric", rate=self.rate, seed=0)
        observed = observe(noise, split.train.labels, split.train.class_names, Path()).labels
        used = draw_used(len(split.train), params)
        whitening = fit(split.train.images[used], params.whitening, params.zca_epsilon).on(self.device)
        rows = used.nonzero()[:, 0]
        return _Data(
            whitening.apply(split.train.images[used].to(self.device)),
            observed[used].to(self.device),
            (observed == split.train.labels)[used],
            tuple(split.train.ids[row] for row in rows.tolist()),
            whitening.apply(split.test.images.to(self.device)),
            split.test.labels.to(self.device),
        )

    def static(self, data: _Data) -> Tensor:
        """Static weights, Eq. 6, of one second split in both directions."""
        params = self.scale.forgetting
        network = ConvNet(3, (32, 32), 10, params.network.width, params.network.depth)
        learned, forgotten = torch.zeros(2, len(data.ids), dtype=torch.float64)
        for direction, parts in (("ab", halves(len(data.ids), 0)), ("ba", halves(len(data.ids), 0)[::-1])):

            def half(_: Checkpoints, parts: tuple[Tensor, ...] = parts) -> Made:
                found = second_split(network, data.images, data.observed, parts[0], parts[1], params, 0)
                return {"rows": found.rows, "learned": found.learned, "forgotten": found.forgotten}, {}

            found, _ = self.kept(f"half-{direction}", half)
            learned[found["rows"].cpu()] = found["learned"].double().cpu()
            forgotten[found["rows"].cpu()] = found["forgotten"].double().cpu()
        return static_weight(forgetting_score(learned, forgotten, params.learn_share))

    def teachers(self, data: _Data, view: str, static: Tensor) -> list[Path]:
        """Files of the teachers of a view."""
        params, network = self.scale.teachers, self.network()
        maxima = blend_maxima(params.num_teachers, params.ladder) if view == "sgr" else (0.0,) * params.num_teachers
        weights = static.float() if view == "sgr" else torch.ones(len(data.ids))
        for index, maximum in enumerate(maxima):

            def teach(points: Checkpoints, index: int = index, maximum: float = maximum) -> Made:
                asked = (maximum, True, params, self.scale.neighbours, index, points)
                found = train_teacher(network, data.images, data.observed, weights, *asked, engine=self.scale.engine)
                return {"snapshots": found.snapshots}, {"losses": found.losses, "blends": found.blends}

            self.kept(f"{view}-{index:03d}", teach)
        return [self.folder / f"{view}-{index:03d}.safetensors" for index in range(params.num_teachers)]

    def targets(self, data: _Data, static: Tensor, taught: list[Path]) -> list[Path]:
        """Files of the clean targets of every teacher: the subset first, then the fine-tuning."""
        network, scale = self.network(), self.scale

        def subset(_: Checkpoints) -> Made:
            final = []
            for path in taught:
                blends = json.loads(path.with_suffix(".json").read_bytes())["blends"]
                before = load_file(path)["snapshots"][len(blends) - 1].to(self.device)
                dynamic = consistency(network, before, data.images, data.observed, scale.neighbours)
                final.append(blended_weight(static, dynamic.double().cpu(), blends[-1]))
            chosen = reliable_subset(static, confidence_variance(torch.stack(final)), list(data.ids), scale.subset)
            shares = {
                "right": float(data.right[chosen].double().mean()),
                "right_of_all": float(data.right.double().mean()),
            }
            return {"chosen": chosen}, {"size": int(chosen.sum()), **shares}

        chosen = self.kept("subset", subset)[0]["chosen"]
        starts = list(range(scale.finetune.first_start, scale.finetune.last_start + 1))
        for index, path in enumerate(taught):

            def clean(_: Checkpoints, index: int = index, path: Path = path) -> Made:
                snapshots = load_file(path)["snapshots"]
                images, labels = data.images[chosen], data.observed[chosen]
                how = (scale.teachers, scale.finetune.epochs, index)
                made = [
                    clean_target(network, snapshots[start].to(self.device), images, labels, *how, start, scale.engine)
                    for start in starts
                ]
                return {"targets": torch.stack(made), "starts": torch.tensor(starts)}, {}

            self.kept(f"clean-{index:03d}", clean)
        return [self.folder / f"clean-{index:03d}.safetensors" for index in range(len(taught))]

    def row(self, data: _Data, row: str, seed: int, taught: list[Path], cleaned: list[Path]) -> None:
        """Distil one set and evaluate it."""
        scale, network = self.scale, self.network()
        trajectories = Trajectories.from_files(taught, cleaned if row == "ours" else None)

        def made(points: Checkpoints) -> Made:
            finals, draws = trajectories.finals().to(self.device), generator("selection", seed)
            chosen = selected_start(network, finals, data.images, data.observed, scale.ipc, draws)
            start = chosen.begin(data.images, scale.recipe.initial_rate)
            if row == "selected":
                return start.tensors(), {"start_right": float(data.right[chosen.rows.cpu()].double().mean())}
            share = scale.recipe.aux_share if row == "ours" else 0.0
            found = distill(network, start, trajectories, scale.recipe, share, seed, points, engine=scale.engine)
            facts = {"losses": found.losses.tolist(), "skipped": found.skipped}
            return found.synthetic.tensors(), facts | {"rate": float(found.synthetic.learning_rate)}

        synthetic = SyntheticSet.from_tensors(self.kept(f"set-{row}-s{seed}", made)[0])
        for number in scale.evaluate.seeds:

            def measured(_: Checkpoints, number: int = number) -> Made:
                test = (data.test_images, data.test_labels)
                return {}, {"accuracy": evaluate_synthetic(network, synthetic, *test, scale.evaluate, number).accuracy}

            self.kept(f"net-{row}-s{seed}-e{number}", measured)
