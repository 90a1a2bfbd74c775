"""What a process may compile, and what happens where nothing can be."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor

from robustdd.distillation.gradients import student_of, trajectory_gradients
from robustdd.engine import compiling
from robustdd.engine.settings import PLAIN
from robustdd.engine.train_step import differentiate_by
from robustdd.networks.convnet import ConvNet
from robustdd.params import Engine
from robustdd.rng import generator
from tests.distillation.test_gradients import NETWORK, Case
from tests.support.needs import needs_compiler

DEEP = [((20, 20), 4), ((32, 32), 5)]
"""Sides and depths of networks whose last blocks see single pixels, which dynamo compiles apart."""


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing is compiled or tried yet, nor afterwards."""
    for found in (compiling.can_compile, compiling.compiled_loops, compiling.step):
        found.cache_clear()
    torch._dynamo.reset()
    yield
    for found in (compiling.can_compile, compiling.compiled_loops, compiling.step):
        found.cache_clear()
    torch._dynamo.reset()


def variants() -> int:
    """How often the loop of which most variants are compiled was."""
    entries = torch._dynamo.eval_frame._debug_get_cache_entry_list
    return max(len(entries(loop.__code__)) for loop in compiling.Loops())


def teach_and_follow(engine: Engine, side: tuple[int, int], depth: int, count: int) -> list[Tensor]:
    """A gradient of a teacher, and a student's with its second order, on `count` images."""
    network = ConvNet(3, side, 4, 8, depth)
    parameters = network.initial(generator("deep"))
    images = torch.randn(count, 3, *side, generator=generator("deep", "images"))
    logits = torch.randn(count, 4, generator=generator("deep", "labels"))
    gradient, loss = differentiate_by(engine)(network, parameters, images, logits.argmax(1), None)
    student = student_of(network, engine)
    own, kept = student.gradient(parameters, images, logits)
    return [gradient, loss, own, *student.sweep(parameters, images, logits, gradient, kept)]


@pytest.mark.soak
@needs_compiler
@pytest.mark.usefixtures("fresh")
def test_more_sizes_than_dynamo_has_by_itself_are_compiled() -> None:
    """Teachers and students, batches of which one leaves a single image, both types, in one process."""
    for (side, depth), precision, count in product(DEEP, ("float32", "bfloat16"), (5, 1, 4)):
        engine = Engine("on", precision, "on")  # type: ignore[arg-type]
        found = teach_and_follow(engine, side, depth, count)
        form = teach_and_follow(replace(engine, compile="off"), side, depth, count)
        for one, other in zip(found, form, strict=True):
            assert (one - other).abs().max() <= 0.05 * other.abs().max()
    assert variants() > 8


@pytest.mark.usefixtures("fresh")
def test_more_variants_than_dynamo_has_by_itself_are_traced_in_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dynamo's limit, without the C++ behind it: settings of torch are a thread's own."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    run = compiling._compiled(lambda values: values + 1, dynamic=False)
    with ThreadPoolExecutor(1) as pool:
        assert [len(found) for found in pool.map(run, map(torch.zeros, range(2, 22)))] == [*range(2, 22)]


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("keep", ["on", "off"])
def test_without_a_compiler_on_is_off_to_the_bit_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, keep: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no g++\nand more")

    monkeypatch.setattr(torch, "compile", refuse)
    engine, case = Engine("on", "float32", keep), Case(3)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "robustdd"):
        found, off = (following(case, how) + list(differentiate_by(how)(*teaching())) for how in (engine, PLAIN))
    assert all(torch.equal(*pair) for pair in zip(found, off, strict=True))
    said = [record.getMessage() for record in caplog.records]
    assert said == ["engine.compile: nothing can be compiled here (no g++); it is off"]


def following(case: Case, engine: Engine) -> list[Tensor]:
    goal = (case.start, case.target, case.clean, 0.3)
    found = trajectory_gradients(NETWORK, case.synthetic, case.batches, *goal, engine=engine)
    return [found.images, found.label_logits, found.learning_rate, found.loss]


def teaching() -> tuple[ConvNet, Tensor, Tensor, Tensor, None]:
    network = ConvNet(3, (8, 8), 4, 8, 2)
    images = torch.randn(5, 3, 8, 8, generator=generator("taught"))
    return network, network.initial(generator("taught", "start")), images, torch.arange(5) % 4, None


@pytest.mark.usefixtures("fresh")
def test_without_a_compiler_bfloat16_stays_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "can_compile", lambda device: False)
    engine = Engine("on", "bfloat16", "on")
    assert compiling.carried_out(engine, "cpu") == Engine("off", "bfloat16", "off")
    assert compiling.carried_out(replace(PLAIN, keep="on"), "cpu") == replace(PLAIN, keep="on")
