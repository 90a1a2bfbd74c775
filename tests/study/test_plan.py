"""`plan`: bytes from shapes are those of the files, counts those of the steps, hours those of the measured table."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from robustdd.data.read import read
from robustdd.data.split import draw_used
from robustdd.errors import RobustddError
from robustdd.networks import training
from robustdd.networks.convnet import ConvNet
from robustdd.params import Dataset, Study
from robustdd.rng import generator
from robustdd.store.checkpoints import Checkpoints
from robustdd.study import throughput
from robustdd.study.files import disk_of, memory_of
from robustdd.study.load import load_study
from robustdd.study.measuring import SMALL, measure
from robustdd.study.plan import nearest, plan_of
from robustdd.study.shapes import Images, activations, all_images, images_of, network_of, products
from robustdd.study.throughput import Case, Measured, read_table, table_bytes, terms_of, with_entry
from robustdd.study.work import Step, maxima, work_of
from tasks.stages.teachers import maxima_of
from tests.cli.test_cli_check import command
from tests.support.pipeline import CODE, change, run
from tests.support.studies import CELL, PLAIN, SGR, tiny_study, write_study

PLAIN_KINDS = ("gradient", "student", "predict", "neighbours")
COMPILED_KINDS = ("gradient, compiled", "student, compiled", "student, compiled, kept")
OURS = f"{CELL}-ours-ipc1-s0"


def planned(folder: Path) -> tuple[Study, dict[str, Images]]:
    study = load_study(folder)
    return study, all_images(study, folder)


def test_every_tensor_file_has_the_bytes_that_were_planned(built: Path) -> None:
    study, shapes = planned(built)
    expected = {
        f"{disk.stage}/{disk.ident}/{name}": size
        for disk in disk_of(study, shapes)
        for name, size in disk.files.items()
    }
    found = {
        str(path.relative_to(built / "data")): path.stat().st_size for path in (built / "data").rglob("*.safetensors")
    }
    assert found == expected and len(found) == 3 + 4 + 2 + 12


def test_checkpoints_take_at_most_what_was_planned(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most: Counter[str] = Counter()
    save = Checkpoints.save

    def measured(self: Checkpoints, *arguments: Any) -> None:
        save(self, *arguments)
        found = [path.stat() for path in self.folder.rglob("*.safetensors")]
        size = sum({one.st_ino: one.st_size for one in found}.values())
        most[self.folder.parts[-3]] = max(most[self.folder.parts[-3]], size)

    monkeypatch.setattr(Checkpoints, "save", measured)
    plan = {(disk.stage, disk.ident): disk.checkpoints for disk in disk_of(*planned(study))}
    for stage, ident in (("teachers", SGR), ("distill", OURS)):
        shutil.rmtree(study / "data" / stage / ident)
        run(study, stage, ident)
        assert 0.6 * plan[stage, ident] < most[stage] <= plan[stage, ident]
    # Of the last two generations of a teacher all is known; of a set's, how many saved ones are in the older.
    assert plan["teachers", SGR] == most["teachers"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often gradients were taken, students stepped, and neighbours looked for."""
    from robustdd.distillation import gradients
    from robustdd.networks import sam as gsam
    from robustdd.weighting import consistency

    seen: Counter[str] = Counter()
    gradient, search, sweep = gsam.gradient, consistency.nearest_neighbours, gradients.adjoint_gradients

    def counted_gradient(loss_gradient: Any, *arguments: Any) -> Any:
        def one(parameters: torch.Tensor) -> Any:
            seen["gradient"] += 1
            return loss_gradient(parameters)

        return gradient(one, *arguments)

    def counted_search(*arguments: Any) -> Any:
        seen["neighbours"] += 1
        return search(*arguments)

    def counted_sweep(student: Any, synthetic: Any, batches: Any, goal: Any) -> Any:
        seen["student"] += len(batches)
        return sweep(student, synthetic, batches, goal)

    monkeypatch.setattr(training.gsam, "gradient", counted_gradient)
    monkeypatch.setattr(consistency, "nearest_neighbours", counted_search)
    monkeypatch.setattr(gradients, "adjoint_gradients", counted_sweep)
    return seen


ONE_OF_EACH = (
    *(("forgetting", CELL), ("teachers", SGR), ("consistency", SGR), ("subset", SGR), ("finetune", SGR)),
    *(("distill", OURS), ("distill", f"{CELL}-random-ipc1-s0"), ("train-full", CELL), ("evaluate", OURS)),
)


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({}, ONE_OF_EACH),
        ({"optimizer": "sgd", "epochs": 3, "warmup_share": 0.0, "num_teachers": 3}, (("teachers", SGR),)),
    ],
    ids=["gsam", "sgd"],
)
def test_every_step_was_counted(
    study: Path, steps: Counter[str], changes: dict[str, Any], places: tuple[tuple[str, str], ...]
) -> None:
    """What the stages really do, built anew."""
    params = tiny_study()
    params["teachers"].update(changes)
    change(study, params)
    work = work_of(*planned(study), "cpu")
    for stage, ident in places:
        shutil.rmtree(study / "data" / stage / ident)
        steps.clear()
        run(study, stage, ident)
        expected: Counter[str] = Counter()
        for one in work:
            if (one.stage, one.ident) == (stage, ident) and one.step.kind != "predict":
                expected[one.step.kind] += one.count
        assert steps == expected, (stage, ident)


def test_the_maxima_of_the_plan_are_those_of_the_teachers() -> None:
    study = load_study(CODE)
    for weights in ("plain", "sgr", "literal", "ssft", "knn", "fixed", "oracle"):
        view = replace(study.views["digits-sym40-sgr"], weights=weights, blend_maximum=0.3)
        assert maxima(view, study.teachers) == maxima_of(view, study.teachers)


@pytest.mark.parametrize(
    "dataset", [Dataset("digits", test_images=300, holdout=0.25), Dataset("digits", holdout=0.25, train_share=0.5)]
)
def test_the_shape_of_a_published_set_is_that_of_its_images(dataset: Dataset) -> None:
    split, shape = read(dataset), images_of(dataset, Path())
    assert split.test is not None
    assert (shape.whole, shape.channels, *shape.side) == tuple(split.train.images.shape)
    assert shape.train == draw_used(shape.whole, dataset).sum()
    assert (shape.test, shape.classes) == (len(split.test), len(split.train.class_names))
    assert shape.held_out == round(0.25 * len(split.train))


def test_paper_scale_takes_the_gigabytes_that_are_known(tmp_path: Path) -> None:
    params = tiny_study()
    params["datasets"] = {"digits": {"kind": "cifar10"}}
    params["network"] = {"width": 128, "depth": 3}
    params["teachers"] |= {"num_teachers": 100, "epochs": 100}
    study = load_study(write_study(tmp_path, params))
    shapes = all_images(study, tmp_path)
    assert network_of(study.network, shapes["digits"]).num_parameters == 320_010
    (teachers,) = (disk.total for disk in disk_of(study, shapes) if (disk.stage, disk.ident) == ("teachers", PLAIN))
    assert teachers == pytest.approx(100 * 101 * 320_010 * 4, rel=1e-4)
    assert memory_of(study, shapes)["teachers"] > 50_000 * 3 * 32 * 32 * 4


def test_products_and_activations_are_those_of_the_layers() -> None:
    network = ConvNet(3, (32, 32), 10, 128, 3)
    images = torch.randn(2, 3, 32, 32, generator=generator("test"))
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(network.initial(generator("test", 1)), images)
    assert counter.get_total_flops() == 2 * len(images) * products(network)
    assert activations(network) == 3072 + 128 * sum(2 * area + area // 4 for area in (1024, 256, 64))


def dot(weights: Sequence[float], terms: Sequence[float]) -> float:
    return sum(weight * term for weight, term in zip(weights, terms, strict=True))


def test_hours_follow_from_the_measured_steps() -> None:
    steps = [Step("gradient", ConvNet(1, (8, 8), 10, width, 2), batch) for width in (8, 32) for batch in (10, 20, 80)]
    true = (0.001, 2e-10, 3e-8)
    found = entry("A", cases=tuple(Case("gradient", terms_of(one), dot(true, terms_of(one))) for one in steps))
    other = Step("gradient", ConvNet(3, (32, 32), 10, 64, 3), 256)
    assert found.step_seconds(other) == pytest.approx(dot(true, terms_of(other)), rel=1e-3)
    for kind in ("student", "student, compiled"):
        with pytest.raises(RobustddError, match="was never measured"):
            found.step_seconds(Step(kind, SMALL, 10))


def test_settings_that_were_not_measured_take_the_time_of_the_slower_ones_that_were() -> None:
    kinds = ("student", "student, compiled", "student, compiled, kept")
    cases = [
        Case(kind, terms_of(Step(kind, SMALL, 10)), seconds) for kind, seconds in zip(kinds, (4, 2, 1), strict=True)
    ]
    for known, expected in ((cases, (4, 2, 1)), (cases[:2], (4, 2, 2)), (cases[:1], (4, 4, 4))):
        found = entry("A", cases=tuple(known))
        assert [found.step_seconds(Step(kind, SMALL, 10)) for kind in kinds] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("engine", "taught", "student"),
    [
        ({}, "gradient, compiled", "student, compiled, kept"),
        ({"keep": "off"}, "gradient, compiled", "student, compiled"),
        ({"compile": "off"}, "gradient", "student"),
        ({"precision": "bfloat16"}, "gradient, compiled", "student, compiled, kept"),
    ],
)
def test_steps_are_counted_as_the_settled_engine_takes_them(
    tmp_path: Path, engine: dict[str, str], taught: str, student: str
) -> None:
    params = tiny_study() | {"engine": engine, "network": {"width": 128, "depth": 3}}
    params["datasets"] = {"digits": {"kind": "cifar10"}}
    params["teachers"] |= {"num_teachers": 2, "epochs": 9}
    params["recipes"]["tiny"] |= {"iterations": 10_000, "inner_steps": 80}
    study = load_study(write_study(tmp_path, params))
    work = work_of(study, all_images(study, tmp_path), "cpu")
    kinds = {stage: {one.step.kind for one in work if one.stage == stage} for stage in ("teachers", "distill")}
    assert taught in kinds["teachers"] and kinds["distill"] == {student}
    others = {one.step.kind for one in work if one.stage in ("forgetting", "evaluate", "train-full", "consistency")}
    assert not any("compiled" in kind for kind in others)


def test_the_committed_table_is_whole_and_fits_what_was_measured() -> None:
    entries = read_table()
    assert {(one.kind, one.threads) for one in entries} >= {("cpu", 1)}
    assert json.loads(table_bytes(entries)) == json.loads(
        (CODE / "robustdd/study/throughput.json").read_text(encoding="utf-8")
    )
    for entry in entries:
        assert {case.kind for case in entry.cases} == {*PLAIN_KINDS, *COMPILED_KINDS}
        for case in entry.cases:
            same = tuple(one for one in entry.cases if one.kind == case.kind)
            fitted = dot(throughput._fit(same), case.terms)
            assert 0.5 < fitted / case.seconds < 2, (entry.device, case)


@pytest.mark.parametrize("compiler", [True, False])
def test_a_measurement_names_the_device_and_every_kind_of_step(monkeypatch: pytest.MonkeyPatch, compiler: bool) -> None:
    from robustdd.engine import compiling
    from robustdd.study import measuring

    monkeypatch.setattr(measuring, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(measuring, "REPEATS", 1)
    monkeypatch.setattr(measuring, "can_compile", lambda device: compiler)
    monkeypatch.setattr(compiling, "can_compile", lambda device: False)  # what is timed here does not matter
    found = measure(torch.device("cpu"), 1, (SMALL,))
    assert found.kind == "cpu" and found.device and found.threads == 1 and found.torch == torch.__version__
    assert {case.kind for case in found.cases} == {*PLAIN_KINDS, *(COMPILED_KINDS if compiler else ())}
    assert all(case.seconds > 0 for case in found.cases)


def entry(device: str, kind: str = "cpu", threads: int = 1, cases: tuple[Case, ...] = ()) -> Measured:
    return Measured(device, kind, threads, "2.13.0", "2026-01-01", cases)


def test_only_a_like_device_is_taken() -> None:
    table = [entry("A"), entry("B"), entry("B", threads=4), entry("G", "cuda")]
    assert nearest(table, "cpu", "B", 1) == table[1] and nearest(table, "cpu", "C", 1) == table[0]
    assert nearest(table, "cpu", "A", 2) is None and nearest(table, "cuda", "H", 1) == table[3]
    assert nearest(table[:3], "cuda", "G", 1) is None
    assert with_entry(table, entry("B", cases=(Case("gradient", (1.0,), 1.0),)))[0].cases
    assert len(with_entry(table, entry("B"))) == 4


def test_plan_says_what_a_study_takes(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", built) == 0
    said = capsys.readouterr().out
    assert "study tiny: 1 cell, 2 views, 6 rows; 2 teachers a view" in said and "CPU-hours" in said
    study, _ = planned(built)
    lines = plan_of(study, built, nearest(read_table(), "cpu", "", 1))
    table = {line.stage: line for line in lines}
    assert re.search(rf"teachers +2 +{table['teachers'].steps:,} ", said)
    assert table["labels"].steps == 0 and table["distill"].ids == 6 and sum(line.ids for line in lines) == 22
    assert all(line.seconds is not None and (line.seconds > 0) == (line.steps > 0) for line in lines)


def test_plan_invents_no_hours(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for changes, kind in (({"device": "cuda"}, "cuda device; "), ({"threads": 7}, "cpu device in 7 threads; ")):
        assert command("plan", write_study(tmp_path, tiny_study() | changes)) == 0
        said = capsys.readouterr().out
        if not any(one.kind == "cuda" for one in read_table()) or "threads" in changes:
            assert f"hours: nothing is measured on a {kind}run `python -m robustdd plan --measure` there" in said
            assert re.search(r"all +22 +[\d,]+ +\? ", said)


def test_measuring_without_the_device_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert command("plan", write_study(tmp_path, tiny_study() | {"device": "cuda"}), "--measure") == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: device: params.yaml asks for 'cuda'") and told.err.count("\n") == 1
