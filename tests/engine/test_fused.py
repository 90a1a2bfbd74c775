"""The sweeps for a compiler and for bfloat16: exact in float64 under every setting, near it in the others."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from robustdd.distillation.adjoint import adjoint_gradients
from robustdd.distillation.gradients import student_of, trajectory_gradients
from robustdd.distillation.matching import Goal
from robustdd.distillation.student import AutogradStudent
from robustdd.engine import compiled as fused
from robustdd.engine import compiling
from robustdd.engine import conv as arithmetic
from robustdd.engine import microbatches as chunks
from robustdd.engine import pointwise as loops
from robustdd.engine.compiled_student import FusedStudent
from robustdd.engine.conv import arithmetic_of, narrow
from robustdd.engine.eager_student import ConvNetStudent
from robustdd.engine.settings import PLAIN
from robustdd.engine.train_step import differentiate_by
from robustdd.errors import UserError
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import by_autograd
from robustdd.params import Engine
from robustdd.rng import generator
from tests.distillation.test_gradients import Case, plain_network, values
from tests.distillation.test_gradients import error as largest
from tests.engine.test_tangent import SHAPES, SMALL, error, inputs
from tests.support.needs import needs_compiler

KEEP, FORM = replace(PLAIN, keep="on"), PLAIN
BF16 = replace(PLAIN, precision="bfloat16")


def worst(network: ConvNet, engine: Engine, at: tuple[Tensor, Tensor, Tensor, Tensor]) -> float:
    hand, auto = FusedStudent(network, engine), AutogradStudent(network)
    gradient, kept = hand.gradient(*at[:3])
    assert (kept is not None) == (engine.keep == "on")
    pairs = [*zip(hand.sweep(*at, kept), auto.sweep(*at), strict=True), (gradient, auto.gradient(*at[:3])[0])]
    assert all(found.shape == expected.shape for found, expected in pairs)
    return max(error(found, expected) for found, expected in pairs)


@settings(deadline=None, max_examples=25)
@given(
    network=st.sampled_from(SHAPES),
    seed=st.integers(0, 10**6),
    count=st.integers(1, 5),
    chunk=st.sampled_from([0, 1, 2, 9]),
    keep=st.sampled_from(["on", "off"]),
)
def test_by_hand_is_autograd_whatever_is_kept_and_in_whatever_parts(network, seed, count, chunk, keep):
    assert worst(network, replace(PLAIN, keep=keep, chunk=chunk), inputs(network, seed, count)) < 1e-10


@pytest.mark.parametrize("name", ["joint_moments", "slopes", "slopes_tangent", "planes_gradient_tangent"])
def test_a_forgotten_term_would_be_noticed(name, monkeypatch):
    original = getattr(loops, name)

    def broken(*arguments):
        found = original(*arguments)
        return (found[0], 0 * found[1]) if isinstance(found, tuple) else found + 0.01 * arguments[2]

    used = compiling.Loops(**{name: broken})
    monkeypatch.setattr("robustdd.engine.means.Loops", lambda: used)
    assert worst(SMALL, FORM, inputs(SMALL, 3)) > 1e-4


@settings(deadline=None, max_examples=10)
@given(
    seed=st.integers(0, 10**6),
    keep=st.sampled_from(["on", "off"]),
    chunk=st.sampled_from([0, 2]),
    share=st.sampled_from([0.0, 0.3]),
)
def test_the_whole_gradient_is_that_of_the_unrolled_graph(seed, keep, chunk, share):
    case = Case(seed)
    goal = (case.start, case.target, case.clean, share)
    network = student_network()
    engine = Engine("off", "float32", keep, chunk)
    found = trajectory_gradients(network, case.synthetic, case.batches, *goal, "adjoint", engine)
    assert largest(values(found), values(case.gradients("unroll", share))) < 1e-10


def student_network() -> ConvNet:
    return Case.gradients.__defaults__[2]


@needs_compiler
def test_compiled_steps_are_exact_too_for_all_sizes_at_once_and_repeat_to_the_bit():
    engine = replace(KEEP, compile="on")
    assert compiling.can_compile("cpu")
    torch._dynamo.reset()  # other tests compile the same loops for other types
    for network, count in ((replace(SMALL, image_size=(16, 8)), 3), (SMALL, 5)):
        at = inputs(network, 11, count)
        assert worst(network, engine, at) < 1e-10
        student = FusedStudent(network, engine)
        first, again = (student.sweep(*at, student.gradient(*at[:3])[1]) for _ in range(2))
        assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    entries = [len(torch._dynamo.eval_frame._debug_get_cache_entry_list(loop.__code__)) for loop in compiling.Loops()]
    assert set(entries) == {1}


def test_settings_choose_the_student():
    assert isinstance(student_of(SMALL), ConvNetStudent)
    assert student_of(SMALL, replace(PLAIN, chunk=3)) == ConvNetStudent(SMALL, 3)
    for engine in (KEEP, BF16, replace(PLAIN, compile="on")):
        assert student_of(SMALL, engine) == FusedStudent(SMALL, engine)
    assert isinstance(student_of(plain_network, KEEP), AutogradStudent)
    with pytest.raises(UserError, match="bfloat16 is written for the ConvNet alone"):
        student_of(plain_network, BF16)


@pytest.mark.parametrize("labels", ["classes", "logits"])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_gradient_of_training_is_that_of_autograd(labels, weighted, monkeypatch):
    parameters, images, logits, _ = inputs(SMALL, 5, 4)
    given_labels = logits if labels == "logits" else logits.argmax(1)
    weights = torch.rand(4, generator=generator("weights"), dtype=torch.float64) if weighted else None
    batch = (SMALL, parameters, images, given_labels, weights)
    monkeypatch.setattr(compiling, "can_compile", lambda device: True)
    monkeypatch.setattr(compiling, "_compiled", lambda function, **_: function)
    compiling.compiled_loops.cache_clear()
    found = differentiate_by(replace(PLAIN, compile="on"))(*batch)
    compiling.compiled_loops.cache_clear()
    for one, other in zip(found, by_autograd(*batch), strict=True):
        assert error(one, other) < 1e-10
    assert not torch.equal(found[0], by_autograd(*batch)[0]), "another order of the sums"
    for one, other in zip(differentiate_by(PLAIN)(*batch), by_autograd(*batch), strict=True):
        assert torch.equal(one, other)


def test_rounding_on_the_bits_is_that_of_the_type():
    drawn = torch.randn(10_000, generator=generator("round")) * 10.0 ** torch.randint(
        -20, 20, (10_000,), generator=generator("sizes")
    )
    ties = (torch.arange(1, 1000, dtype=torch.int32) * 0x8000 + 0x3F800000).view(torch.float32)
    for numbers in (drawn, ties, -ties, torch.zeros(3)):
        assert torch.equal(narrow(numbers, "rounded"), numbers.bfloat16().float())


def test_bfloat16_has_the_direction_of_the_exact_gradient():
    """On made-up images; the benchmark says it for real ones."""
    network = ConvNet(3, (16, 16), 10, 32, 2)
    cosines = []
    for seed in range(3):
        at = [value.float() for value in inputs(network, seed, 10)]
        exact, kept = FusedStudent(network, FORM).sweep(*at), FusedStudent(network, BF16).gradient(*at[:3])
        found = FusedStudent(network, BF16).sweep(*at)
        for one, other in zip(found, exact, strict=True):
            cosines.append(float(torch.cosine_similarity(one.flatten().double(), other.flatten().double(), 0)))
        assert found.images.dtype == kept[0].dtype == torch.float32
    assert min(cosines) > 0.97 and min(cosines) < 1 - 1e-7


def test_a_processor_with_bfloat16_is_used_as_such(monkeypatch):
    assert arithmetic_of("float32", torch.device("cuda")) == "native"
    assert arithmetic_of("bfloat16", torch.device("cuda")) == "bfloat16"
    for known, expected in ((True, "bfloat16"), (False, "rounded")):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda known=known: known)
        assert arithmetic_of("bfloat16", torch.device("cpu")) == expected


def test_bfloat16_and_its_rounding_agree(monkeypatch):
    at = [value.float() for value in inputs(SMALL, 6, 6)]
    sweeps = []
    for known in (True, False):
        monkeypatch.setattr("robustdd.engine.means.arithmetic_of", lambda *_, k=known: "bfloat16" if k else "rounded")
        sweeps.append(FusedStudent(SMALL, BF16).sweep(*at))
    for one, other in zip(*sweeps, strict=True):
        assert torch.cosine_similarity(one.flatten(), other.flatten(), 0) > 0.98


def test_images_of_few_channels_go_another_way_to_the_same_numbers(monkeypatch):
    stream = generator("few channels")
    images, kernel, gradient = (
        torch.randn(shape, generator=stream).bfloat16() for shape in ((3, 8, 6, 2), (5, 2, 3, 3), (3, 8, 6, 5))
    )
    found = []
    for channels in (4, 0):
        monkeypatch.setattr(arithmetic, "WINDOWED_CHANNELS", channels)
        planes = arithmetic.convolve(images, kernel, "bfloat16")
        found.append((planes.float(), arithmetic.kernel_gradient(images, gradient, "bfloat16", torch.float32)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("channels", [4, 0])
def test_windows_are_the_convolution(channels, monkeypatch):
    monkeypatch.setattr(arithmetic, "WINDOWED_CHANNELS", channels)
    monkeypatch.setattr(arithmetic, "_windowed", lambda images, _: images.shape[3] <= arithmetic.WINDOWED_CHANNELS)
    assert worst(SMALL, KEEP, inputs(SMALL, 7)) < 1e-10


def test_on_a_gpu_a_step_is_compiled_whole_and_its_results_are_copied_out(monkeypatch):
    """With a stand-in for the compiler: CUDA graphs write every result where the last one was."""
    asked, static = [], torch.zeros(2)

    def stand_in(function, **how):
        asked.append(how)
        return lambda *arguments: (static.copy_(function(*arguments)), None)

    monkeypatch.setattr(torch, "compile", stand_in)
    means = compiling.Means(compiling.Loops(), "native", torch.float32, whole=True)
    run = compiling.step.__wrapped__(lambda network, means, x: x + 1, SMALL, means, "cuda")
    first, none = run(torch.zeros(2))
    second, _ = run(torch.ones(2))
    assert first.tolist() == [1, 1] and second.tolist() == [2, 2] and none is None
    assert asked == [{"fullgraph": True, "dynamic": False, "mode": "reduce-overhead"}]


class Counting(FusedStudent):
    """Counts the bytes that are kept on the way."""

    def gradient(self, *place):
        found, kept = super().gradient(*place)
        sizes.append(sum(value.nbytes for one in kept or () for layer in one.layers for value in layer.values))
        return found, kept


sizes: list[int] = []


@pytest.mark.parametrize(("engine", "grows"), [(FORM, False), (KEEP, True)])
def test_memory_grows_with_the_steps_where_activations_are_kept_and_only_there(engine, grows):
    sizes.clear()
    case = Case(9, steps=6)
    goal = Goal(case.start, case.target, case.clean, 0.3)
    adjoint_gradients(Counting(student_network(), engine), case.synthetic, case.batches, goal)
    assert len(sizes) == 6 and all(bool(size) == grows for size in sizes)


def test_a_part_is_no_larger_than_asked(monkeypatch):
    seen = []
    original = chunks.split

    def spy(*arguments):
        parts = original(*arguments)
        seen.append([len(part) for part, _ in parts])
        return parts

    monkeypatch.setattr(chunks, "split", spy)
    for student in (ConvNetStudent(SMALL, 2), FusedStudent(SMALL, replace(KEEP, chunk=2))):
        student.gradient(*inputs(SMALL, 10, 5)[:3])
    assert seen == [[2, 2, 1]] * 2


@pytest.mark.parametrize("kept", [False, True])
def test_a_whole_step_can_be_traced(kept):
    """What a GPU is given to compile, by a backend that compiles nothing; the network is fresh, as a teacher's."""
    network = replace(SMALL)
    means = compiling.Means(compiling.Loops(), "native", torch.float32, whole=True)
    parameters, images, logits, direction = (value.float() for value in inputs(SMALL, 5))
    soft, shares = logits.softmax(1), torch.ones(len(images))

    def traced(function):
        with pytest.MonkeyPatch.context() as patch:
            compiler = functools.partial(torch.compile, backend="aot_eager")
            patch.setattr(
                torch, "compile", lambda fixed, fullgraph, dynamic, mode: compiler(fixed, fullgraph=fullgraph)
            )
            return compiling.step.__wrapped__(function, network, means, "cuda")

    with torch.inference_mode():
        gradient, loss, keeps = traced(fused.loss_gradient)(parameters, images, soft, shares)
        expected = fused.loss_gradient(SMALL, means, parameters, images, soft, shares)
        torch.testing.assert_close((gradient, loss), expected[:2])
        torch.testing.assert_close(traced(fused.gradient_alone)(parameters, images, soft, shares), expected[:2])
        given = (parameters, images, logits, direction, keeps if kept else None)
        torch.testing.assert_close(traced(fused.tangent)(*given), fused.tangent(SMALL, means, *given))


def test_windows_are_folded_by_sums_as_fold_does():
    cells = torch.randn(3, 5, 4, 2, 3, 3, dtype=torch.float64, generator=generator("cells"))
    rows = cells.flatten(3).flatten(1, 2).transpose(1, 2)
    expected = F.fold(rows, (5, 4), 3, padding=1)
    torch.testing.assert_close(arithmetic.folded_by_sums(cells), expected, rtol=1e-13, atol=1e-13)
