"""Gradients in pixels by the project's own C++: autograd's in float64, near them in float32, else torch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from robustdd.engine import conv as arithmetic
from robustdd.engine.native import cpu, pixel_gradient
from robustdd.rng import generator
from tests.engine.test_winograd import threads  # noqa: F401
from tests.support.needs import needs_cpp

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def drawn(seed: int, count: int, size: tuple[int, int], channels: int, out: int) -> Case:
    """Two gradients in planes, and two kernels that made the planes of images of few channels; float64."""
    stream = generator("pixel gradient", seed)
    shapes = [(count, *size, out)] * 2 + [(out, channels, 3, 3)] * 2
    one, other, kernel, moved = (torch.randn(shape, dtype=torch.float64, generator=stream) for shape in shapes)
    return one, other, kernel, moved


def by_autograd(one: Tensor, other: Tensor, kernel: Tensor, moved: Tensor) -> Tensor:
    images = torch.zeros(len(one), kernel.shape[1], *one.shape[1:3], dtype=torch.float64, requires_grad=True)
    total = torch.zeros((), dtype=torch.float64)
    for gradient, by in ((one, kernel), (other, moved)):
        total = total + (F.conv2d(images, by.double(), padding=1) * gradient.double().permute(0, 3, 1, 2)).sum()
    (found,) = torch.autograd.grad(total, images)
    return found


@needs_cpp
@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 5),
    size=st.tuples(st.integers(1, 12), st.sampled_from([8, 16, 24])),
    channels=st.integers(1, 3),
    out=st.integers(1, 70),
)
def test_float64_is_that_of_autograd(seed, count, size, channels, out):
    case = drawn(seed, count, size, channels, out)
    assert cpu.available(torch.float64) and pixel_gradient.fits(case[2], size[1])
    torch.testing.assert_close(pixel_gradient.gradient_in_pixels(*case), by_autograd(*case), rtol=0, atol=1e-10)


@needs_cpp
def test_float32_is_near_and_threads_change_nothing(threads):  # noqa: F811
    case = tuple(value.float() for value in drawn(1, 7, (32, 32), 3, 128))
    exact, found = by_autograd(*case), []
    for number in (1, 2, 5):
        threads(number)
        found.append(pixel_gradient.gradient_in_pixels(*case))
    assert found[0].dtype == torch.float32 and (found[0] - exact).norm() < 1e-6 * exact.norm()
    assert all(torch.equal(found[0], other) for other in found[1:])


@needs_cpp
def test_views_are_taken_as_they_read():
    one, other, kernel, moved = drawn(2, 3, (6, 8), 3, 64)
    case = (one[..., ::2], other[..., 1::2], kernel[::2], moved[::2])
    torch.testing.assert_close(pixel_gradient.gradient_in_pixels(*case), by_autograd(*case), rtol=0, atol=1e-10)


@needs_cpp
def test_what_is_no_number_stays_with_its_window():
    one, other, kernel, moved = drawn(3, 2, (8, 8), 2, 16)
    one[1, 4, 4, 3] = torch.nan
    found = pixel_gradient.gradient_in_pixels(one, other, kernel, moved)
    assert found[1, :, 3:6, 3:6].isnan().all() and found.isnan().sum() == 2 * 9


@needs_cpp
def test_what_does_not_belong_together_is_refused():
    one, other, kernel, moved = drawn(4, 2, (4, 8), 3, 16)
    for case in (
        (one[:1], other, kernel, moved),
        (one[:, :, :4], other[:, :, :4], kernel, moved),
        (one, other, torch.cat((kernel, kernel), 1), torch.cat((moved, moved), 1)),
        (one, other, kernel, moved[:, :2]),
        (one, other, kernel[:8], moved[:8]),
        (one, other.float(), kernel, moved),
    ):
        with pytest.raises(ValueError, match=r"belong together|one type"):
            pixel_gradient.gradient_in_pixels(*case)


@pytest.mark.parametrize(("size", "channels"), [((8, 8), 3), ((5, 12), 3), ((4, 8), 4)])
def test_the_engine_has_it_where_it_fits_and_torchs_elsewhere(size, channels):
    case = drawn(5, 2, size, channels, 8)
    one, other, kernel, moved = case
    fits = pixel_gradient.fits(kernel, size[1])
    assert fits == (size[1] == 8 and channels == 3)
    chosen: arithmetic.Arithmetic = "winograd" if cpu.available(torch.float64) or not fits else "native"
    for means in ("native", chosen):
        found = arithmetic.pixel_tangent(other, one, kernel, moved, means, torch.float64)
        torch.testing.assert_close(found, by_autograd(*case), rtol=0, atol=1e-10)
