"""Convolutions by fewer multiplications: torch's in float64, near them in float32, and torch's own where they fail."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._inductor.exc import CppCompileError
from torch.nn import functional as F

from robustdd.distillation.student import AutogradStudent
from robustdd.engine import conv as arithmetic
from robustdd.engine.compiled_student import FusedStudent
from robustdd.engine.native import cpu, winograd
from robustdd.engine.settings import PLAIN
from robustdd.engine.train_step import differentiate_by
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import by_autograd
from robustdd.rng import generator
from tests.engine.test_tangent import error, inputs
from tests.support.needs import needs_compiler, needs_cpp

COMPILED = replace(PLAIN, compile="on")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def drawn(seed: int, count: int, size: tuple[int, int], channels: int, out: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, a kernel, and a gradient in what it makes of them; float64."""
    stream = generator("winograd", seed)
    shapes = ((count, *size, channels), (out, channels, 3, 3), (count, *size, out))
    images, kernel, gradient = (torch.randn(shape, dtype=torch.float64, generator=stream) for shape in shapes)
    return images, kernel, gradient


def plain(images: Tensor, kernel: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """What torch's convolution gives, and its kernel's gradient."""
    kernel = kernel.double().requires_grad_()
    planes = F.conv2d(images.double().permute(0, 3, 1, 2), kernel, padding=1)
    (found,) = torch.autograd.grad(planes, kernel, gradient.double().permute(0, 3, 1, 2))
    return planes.detach().permute(0, 2, 3, 1), found


@needs_cpp
@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 9),
    size=st.tuples(st.integers(1, 18), st.integers(1, 18)),
    channels=st.sampled_from([16, 32, 48, 256]),
    out=st.sampled_from([32, 96]),
)
def test_float64_is_the_plain_convolution(seed, count, size, channels, out):
    images, kernel, gradient = drawn(seed, count, size, channels, out)
    planes, found = plain(images, kernel, gradient)
    assert cpu.available(torch.float64) and winograd.fits(channels, out, torch.float64)
    torch.testing.assert_close(winograd.convolve(images, kernel), planes, rtol=0, atol=1e-10)
    torch.testing.assert_close(winograd.kernel_gradient(images, gradient), found, rtol=0, atol=1e-10)


@needs_cpp
@pytest.mark.parametrize("number", [2, 3, 5])
@pytest.mark.parametrize("count", [1, 9, 17, 40])
def test_threads_have_shares_of_few_tiles_too(number, count, threads):
    threads(number)
    images, kernel, gradient = drawn(8, count, (8, 8), 16, 32)
    planes, found = plain(images, kernel, gradient)
    torch.testing.assert_close(winograd.convolve(images, kernel), planes, rtol=0, atol=1e-10)
    torch.testing.assert_close(winograd.kernel_gradient(images, gradient), found, rtol=0, atol=1e-10)


@needs_cpp
def test_calls_at_once_do_not_disturb_each_other():
    cases = [drawn(seed, 3 + seed, (9, 6 + seed), 16 * (1 + seed % 3), 32 * (1 + seed % 2)) for seed in range(6)]

    def work(case):
        return winograd.convolve(*case[:2]), winograd.kernel_gradient(case[0], case[2])

    alone = [work(case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, expected in zip(pool.map(work, cases), alone, strict=True):
                assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


@needs_cpp
@pytest.mark.parametrize(("count", "side", "width"), [(50, 16, 128), (100, 8, 64), (256, 16, 32)])
def test_float32_is_near_and_repeats_to_the_bit_with_one_thread_and_two(count, side, width, threads):
    given = [value.float() for value in drawn(1, count, (side, side), width, width)]
    expected = plain(*given)
    for number in (1, 2):
        threads(number)
        first, again = ((winograd.convolve(*given[:2]), winograd.kernel_gradient(given[0], given[2])) for _ in range(2))
        for one, other, exact in zip(first, again, expected, strict=True):
            assert torch.equal(one, other)
            assert one.dtype == torch.float32 and (one - exact).norm() < 1.5e-5 * exact.norm()
    threads(1)
    assert torch.equal(winograd.convolve(*given[:2]), first[0])


@needs_cpp
def test_tensors_that_are_views_are_taken_as_they_read():
    images, kernel, gradient = drawn(2, 3, (6, 6), 64, 32)
    planes, found = plain(images[..., ::2], kernel[:, ::2], gradient)
    torch.testing.assert_close(winograd.convolve(images[..., ::2], kernel[:, ::2]), planes, rtol=0, atol=1e-10)
    torch.testing.assert_close(winograd.kernel_gradient(images[..., ::2], gradient), found, rtol=0, atol=1e-10)


@needs_cpp
def test_what_does_not_belong_together_is_refused():
    images, kernel, gradient = drawn(9, 2, (4, 4), 16, 32)
    for call in (
        lambda: winograd.convolve(images, kernel[:, :8]),
        lambda: winograd.convolve(images, kernel.float()),
        lambda: winograd.convolve(images[..., :8], kernel[:, :8]),
        lambda: winograd.convolve(images, kernel[:20]),
        lambda: winograd.kernel_gradient(images[1:], gradient),
        lambda: winograd.kernel_gradient(images[..., :8], gradient),
        lambda: winograd.kernel_gradient(images, gradient.float()),
    ):
        with pytest.raises((ValueError, RuntimeError)):
            call()


@needs_cpp
def test_what_is_no_number_is_told_and_stays_with_its_image():
    images, kernel, gradient = (value.float() for value in drawn(3, 2, (8, 8), 16, 32))
    images[1, 3, 3, 5] = torch.nan
    planes = winograd.convolve(images, kernel)
    assert planes[1, 2:5, 2:5].isnan().all() and not planes[0].isnan().any()
    assert winograd.kernel_gradient(images, gradient)[:, 5].isnan().all()
    assert not winograd.convolve(images[:1], kernel).isnan().any()


@needs_cpp
@pytest.mark.parametrize("keep", ["on", "off"])
@pytest.mark.parametrize(("size", "chunk"), [((16, 12), 0), ((12, 20), 2)])
def test_a_student_of_many_channels_has_the_derivatives_of_autograd(keep, size, chunk, monkeypatch):
    calls = []
    original = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *given: calls.append(1) or original(*given))
    network, engine = ConvNet(3, size, 4, 32, 2), replace(COMPILED, keep=keep, chunk=chunk)
    at = inputs(network, 4, 3)
    hand, auto = FusedStudent(network, engine), AutogradStudent(network)
    gradient, kept = hand.gradient(*at[:3])
    pairs = [*zip(hand.sweep(*at, kept), auto.sweep(*at), strict=True), (gradient, auto.gradient(*at[:3])[0])]
    assert max(error(found, expected) for found, expected in pairs) < 1e-10
    assert calls


@needs_cpp
def test_a_teachers_gradient_is_that_of_autograd():
    network = ConvNet(3, (16, 16), 4, 64, 3)
    parameters, images, logits, _ = inputs(network, 5, 4)
    batch = (network, parameters, images, logits.argmax(1), None)
    for one, other in zip(differentiate_by(COMPILED)(*batch), by_autograd(*batch), strict=True):
        assert error(one, other) < 1e-10


def test_other_sizes_types_and_processors_have_the_librarys_convolution(monkeypatch):
    assert not winograd.fits(3, 32, torch.float32) and not winograd.fits(16, 48, torch.float32)
    assert not winograd.fits(16, 32, torch.bfloat16)
    images, kernel, gradient = drawn(6, 2, (5, 7), 8, 24)
    planes, found = plain(images, kernel, gradient)
    torch.testing.assert_close(arithmetic.convolve(images, kernel, "winograd"), planes)
    torch.testing.assert_close(arithmetic.kernel_gradient(images, gradient, "winograd", torch.float64), found)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert not cpu.available.__wrapped__(torch.float32)


@needs_compiler
def test_where_the_file_does_not_compile_one_line_says_so_and_torch_convolves(monkeypatch, caplog):
    def refuse(dtype):
        raise CppCompileError(["g++", "x.cpp"], "In file included\nx.cpp:9: fatal error: no omp.h\nand more")

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(cpu, "library", refuse)
    cpu.available.cache_clear()
    network = ConvNet(3, (8, 8), 4, 32, 2)
    at = inputs(network, 7)
    try:
        with caplog.at_level(logging.WARNING, "robustdd"):
            FusedStudent(network, COMPILED).sweep(*at)
            found = FusedStudent(network, COMPILED).sweep(*at)
    finally:
        cpu.available.cache_clear()
    assert [record.getMessage().count("(x.cpp:9: fatal error: no omp.h)") for record in caplog.records] == [1]
    expected = AutogradStudent(network).sweep(*at)
    assert max(error(*pair) for pair in zip(found, expected, strict=True)) < 1e-10
