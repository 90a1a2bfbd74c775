"""Every stage gives the core what it should: each artifact of the tiny study is computed again by calls of the core.

Inputs are read from the files here, not by tasks.files, so that a stage that took clean labels for observed ones, or
another snapshot, would be seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from robustdd.data.whitening import Whitening
from robustdd.distillation.distill import distill
from robustdd.distillation.initialisation import random_start, selected_start
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.evaluation.evaluate import evaluate_synthetic, train_on_noisy
from robustdd.networks.convnet import ConvNet
from robustdd.params import Study
from robustdd.rng import generator
from robustdd.study.load import load_study
from robustdd.trajectories.clean_targets import clean_target
from robustdd.trajectories.files import Trajectories
from robustdd.trajectories.teachers import Teacher, train_teacher
from robustdd.weighting.consistency import consistency
from robustdd.weighting.forgetting import forgetting_score, halves, second_split, static_weight
from robustdd.weighting.reliability import confidence_variance, reliable_subset
from tests.support.studies import CELL, PLAIN, SGR

TEACHERS = 2


def _double(column: list[object]) -> Tensor:
    return torch.tensor(column, dtype=torch.float64)


@dataclass
class Pipeline:
    """The tiny study's artifacts, and the data that they are made of."""

    folder: Path

    @cached_property
    def study(self) -> Study:
        return load_study(self.folder)

    def file(self, place: str) -> Path:
        return self.folder / "data" / place

    def columns(self, place: str) -> dict[str, list[object]]:
        found: dict[str, list[object]] = pq.read_table(self.file(place)).to_pydict()
        return found

    @cached_property
    def images(self) -> Tensor:
        whitening = Whitening.from_tensors(load_file(self.file("images/digits/whitening.safetensors")))
        return whitening.apply(load_file(self.file("images/digits/train.safetensors"))["images"])

    @cached_property
    def test(self) -> tuple[Tensor, Tensor]:
        whitening = Whitening.from_tensors(load_file(self.file("images/digits/whitening.safetensors")))
        tensors = load_file(self.file("images/digits/test.safetensors"))
        return whitening.apply(tensors["images"]), tensors["labels"]

    @cached_property
    def observed(self) -> Tensor:
        return torch.tensor(self.columns(f"labels/{CELL}/labels.parquet")["observed"])

    @cached_property
    def network(self) -> ConvNet:
        return ConvNet(1, (8, 8), 10, self.study.network.width, self.study.network.depth)

    @cached_property
    def static(self) -> Tensor:
        return _double(self.columns(f"forgetting/{CELL}/forgetting.parquet")["static_weight"])

    def snapshots(self, view: str, index: int) -> Tensor:
        return load_file(self.file(f"teachers/{view}/teacher-{index:03d}.safetensors"))["snapshots"]

    def trajectories(self, view: str) -> Trajectories:
        teachers = [self.file(f"teachers/{view}/teacher-{index:03d}.safetensors") for index in range(TEACHERS)]
        cleans = [self.file(f"finetune/{view}/clean-target-{index:03d}.safetensors") for index in range(TEACHERS)]
        return Trajectories.from_files(teachers, cleans if view == SGR else None)

    def distilled(self, row: str) -> SyntheticSet:
        return SyntheticSet.from_tensors(load_file(self.file(f"distill/{row}/distilled.safetensors")))


@pytest.fixture(scope="module")
def made(built: Path) -> Pipeline:
    return Pipeline(built)


def test_forgetting(made: Pipeline) -> None:
    assert not torch.equal(made.observed, torch.tensor(made.columns(f"labels/{CELL}/labels.parquet")["clean"]))
    learned, forgotten = (torch.zeros(len(made.observed), dtype=torch.float64) for _ in range(2))
    params, (first, second) = made.study.forgetting, halves(len(made.observed), 0)
    network = ConvNet(1, (8, 8), 10, params.network.width, params.network.depth)
    for watched, then in ((first, second), (second, first)):
        record = second_split(network, made.images, made.observed, watched, then, params, 0)
        learned[record.rows], forgotten[record.rows] = record.learned.double(), record.forgotten.double()
    expected = static_weight(forgetting_score(learned, forgotten, params.learn_share))
    assert torch.equal(made.static, expected) and len(expected.unique()) > 2


def taught(made: Pipeline, view: str, index: int) -> Teacher:
    static = torch.ones(len(made.observed)) if view == PLAIN else made.static.float()
    maximum = 0.0 if view == PLAIN else index / TEACHERS
    data = (made.network, made.images, made.observed, static)
    return train_teacher(*data, maximum, True, made.study.teachers, made.study.neighbours, index)


@pytest.mark.parametrize("view", [PLAIN, SGR])
def test_teachers_and_their_consistency(made: Pipeline, view: str) -> None:
    for index in range(TEACHERS):
        teacher = taught(made, view, index)
        assert torch.equal(made.snapshots(view, index), teacher.snapshots)
        curves = json.loads(made.file(f"teachers/{view}/teacher-{index:03d}.json").read_bytes())
        assert tuple(curves["blends"]) == teacher.blends
        if view == SGR:
            part = made.columns(f"consistency/{SGR}/consistency-{index:03d}.parquet")
            weight = torch.tensor(part["dynamic_weight"], dtype=torch.float32)
            start = teacher.snapshots[-2]
            expected = consistency(made.network, start, made.images, made.observed, made.study.neighbours)
            assert torch.equal(weight, expected) and part["blend"][0] == teacher.blends[-1]
            if teacher.last_dynamic is not None:
                assert torch.equal(weight, teacher.last_dynamic)


def test_subset(made: Pipeline) -> None:
    found = made.columns(f"subset/{SGR}/reliability.parquet")
    parts = [made.columns(f"consistency/{SGR}/consistency-{index:03d}.parquet") for index in range(TEACHERS)]
    weights = []
    for part in parts:
        blend, dynamic = float(str(part["blend"][0])), _double(part["dynamic_weight"])
        weights.append((1 - blend) * made.static + blend * dynamic)
    variance = confidence_variance(torch.stack(weights))
    torch.testing.assert_close(_double(found["mean"]), torch.stack(weights).mean(0), atol=1e-12, rtol=0)
    torch.testing.assert_close(_double(found["variance"]), variance, atol=1e-12, rtol=0)
    assert torch.equal(_double(found["static"]), made.static)
    ids = [str(ident) for ident in found["id"]]
    again = reliable_subset(made.static, _double(found["variance"]), ids, made.study.subset)
    assert torch.equal(torch.tensor(found["in_subset"]), again) and 0 < int(again.sum()) < len(again)


def test_finetune(made: Pipeline) -> None:
    chosen = torch.tensor(made.columns(f"subset/{SGR}/reliability.parquet")["in_subset"])
    data, asked = (made.images[chosen], made.observed[chosen]), made.study.finetune
    for index in range(TEACHERS):
        found = load_file(made.file(f"finetune/{SGR}/clean-target-{index:03d}.safetensors"))
        assert found["starts"].tolist() == list(range(asked.first_start, asked.last_start + 1))
        for row, start in enumerate(found["starts"].tolist()):
            begin = made.snapshots(SGR, index)[start]
            expected = clean_target(made.network, begin, *data, made.study.teachers, asked.epochs, index, start)
            assert torch.equal(found["targets"][row], expected)


def test_distill(made: Pipeline) -> None:
    for row, asked in made.study.rows.items():
        recipe, draws = made.study.recipes[asked.recipe], generator("selection", asked.seed)
        if asked.method == "random":
            chosen = random_start(made.observed, 10, asked.ipc, draws, learnable=False)
        else:
            finals = made.trajectories(asked.view).finals()
            chosen = selected_start(made.network, finals, made.images, made.observed, asked.ipc, draws)
        expected = chosen.begin(made.images, recipe.initial_rate)
        if asked.method in ("datm", "sgr", "ours"):
            share = recipe.aux_share if asked.method == "ours" else 0.0
            trajectories = made.trajectories(asked.view)
            expected = distill(made.network, expected, trajectories, recipe, share, asked.seed).synthetic
        for one, other in zip(made.distilled(row).tensors().values(), expected.tensors().values(), strict=True):
            assert torch.equal(one, other), row


def test_evaluate_and_train_full(made: Pipeline) -> None:
    for row in made.study.rows:
        told = json.loads(made.file(f"evaluate/{row}/accuracy.json").read_bytes())
        asked, synthetic = made.study.evaluate, made.distilled(row)
        again = [evaluate_synthetic(made.network, synthetic, *made.test, asked, seed) for seed in asked.seeds]
        assert told["accuracy"] == [one.accuracy for one in again] and told["test_images"] == len(made.test[1])
    full = json.loads(made.file(f"train-full/{CELL}/full.json").read_bytes())
    params, data = made.study.train_full, (made.network, made.images, made.observed, *made.test)
    expected = [train_on_noisy(*data, params, seed) for seed in params.seeds]
    assert full["last"] == [one.last for one in expected] and full["best"] == [one.best for one in expected]
