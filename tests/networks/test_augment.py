from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from robustdd.errors import UserError
from robustdd.networks import resample as warp
from robustdd.networks.augment import Augmentation, draw
from robustdd.rng import generator
from tests.reference import augment as reference

torch.set_num_threads(1)

OPS = ("color", "crop", "cutout", "flip", "scale", "rotate")
DSA = "_".join(OPS)
SIZES = [(8, 8), (7, 10), (1, 5), (4, 1)]


def pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator("pixels", seed), dtype=torch.float64)


def theta(augmentation: Augmentation) -> torch.Tensor:
    """Matrices [n, 2, 3] of `affine_grid` of a scaling or a rotation."""
    values = {name: value.double() for name, value in augmentation.values.items()}
    if augmentation.op == "scale":
        pairs = ((values["columns"], 0 * values["rows"]), (0 * values["rows"], values["rows"]))
    else:
        sine, cosine = values["angle"].sin(), values["angle"].cos()
        pairs = ((cosine, -sine), (sine, cosine))
    lines = [torch.stack((*pair, torch.zeros_like(pair[0])), 1) for pair in pairs]
    return torch.stack(lines, 1)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_the_reference_pixel_by_pixel(op: str, size: tuple[int, int]) -> None:
    images = pixels(6, 3, *size)
    augmentation = draw(op, 6, size, generator("draw", op))
    torch.testing.assert_close(
        augmentation(images), reference.augmented(op, augmentation.values, images), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("op", ["scale", "rotate"])
@pytest.mark.parametrize("size", [(8, 8), (32, 32), (7, 10)])
def test_warps_equal_affine_grid_and_grid_sample(op: str, size: tuple[int, int]) -> None:
    images = pixels(5, 3, *size)
    augmentation = draw(op, 5, size, generator("warp", op))
    grid = F.affine_grid(theta(augmentation), list(images.shape), align_corners=True)
    expected = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    torch.testing.assert_close(augmentation(images), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk_values", [1, 2**26])
def test_both_ways_of_warping_agree_in_value_and_gradient(chunk_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warp, "CHUNK_VALUES", chunk_values)
    images, direction = pixels(4, 2, 6, 9).requires_grad_(), pixels(4, 2, 6, 9, seed=1)
    places = 1.2 * pixels(2, 4, 6, 9, seed=2)
    results = [way(images, *places) for way in (warp.warp, warp.warp_by_products)]
    gradients = [torch.autograd.grad(result, images, direction)[0] for result in results]
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("op", OPS)
def test_runs_on_the_device_of_the_images(op: str) -> None:
    """The device without memory stands for any that is not the CPU."""
    images = torch.empty(4, 3, 6, 7, device="meta")
    assert draw(op, 4, (6, 7), generator("device"))(images).device == images.device


@pytest.mark.parametrize("op", OPS)
def test_is_affine_with_an_exact_gradient(op: str) -> None:
    images, change, direction = (pixels(4, 3, 6, 7, seed=seed) for seed in range(3))
    augmentation = draw(op, 4, (6, 7), generator("affine", op))
    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(augmentation(leaf), leaf, direction)
    linear = augmentation(images + change) - augmentation(images)
    torch.testing.assert_close((linear * direction).sum(), (gradient * change).sum(), rtol=1e-11, atol=1e-11)
    twice = augmentation(images + 2 * change) - augmentation(images)
    torch.testing.assert_close(twice, 2 * linear, rtol=0, atol=1e-11)


@pytest.mark.parametrize("op", OPS)
def test_leaves_the_pixels_alone_and_replays_to_the_bit(op: str) -> None:
    images = pixels(4, 3, 8, 8).float()
    before = images.clone()
    augmentation = draw(op, 4, (8, 8), generator("replay", op))
    assert torch.equal(augmentation(images), augmentation(images))
    assert torch.equal(images, before)
    assert augmentation(images).dtype == torch.float32


def test_crop_and_flip_are_exact_in_float32() -> None:
    images = pixels(50, 1, 8, 8).float()
    for op in ("crop", "flip"):
        augmentation = draw(op, 50, (8, 8), generator("exact", op))
        assert torch.equal(augmentation(images), reference.augmented(op, augmentation.values, images.double()).float())


def test_an_op_is_drawn_uniformly_for_the_whole_batch() -> None:
    stream = generator("ops")
    drawn = Counter(draw(DSA, 1, (8, 8), stream).op for _ in range(3000))
    assert set(drawn) == set(OPS)
    # 500 expected, standard deviation 20.4
    assert all(abs(count - 500) < 90 for count in drawn.values())


def test_crop_flip_draws_one_of_its_two_words() -> None:
    stream = generator("two")
    assert {draw("crop_flip", 1, (8, 8), stream).op for _ in range(40)} == {"crop", "flip"}
    assert {draw("crop", 1, (8, 8), stream).op for _ in range(10)} == {"crop"}


def assert_uniform(values: torch.Tensor, low: float, high: float) -> None:
    """Kolmogorov-Smirnov at 1e-6 or so: the distribution function is nowhere off by more than 2.7 / sqrt(n)."""
    ordered = values.double().sort().values
    assert low <= float(ordered[0]) and float(ordered[-1]) <= high
    shares = torch.arange(1, len(ordered) + 1) / len(ordered)
    assert float(((ordered - low) / (high - low) - shares).abs().max()) < 2.7 / math.sqrt(len(ordered))


def test_continuous_parameters_are_uniform_and_independent() -> None:
    count = 20000
    stream = generator("ranges")
    color = draw("color", count, (8, 8), stream).values
    assert_uniform(color["brightness"], -0.5, 0.5)
    assert_uniform(color["saturation"], 0, 2)
    assert_uniform(color["contrast"], 0.5, 1.5)
    scale = draw("scale", count, (8, 8), stream).values
    assert_uniform(scale["rows"], 1 / 1.2 - 1e-6, 1.2 + 1e-6)
    assert_uniform(scale["columns"], 1 / 1.2 - 1e-6, 1.2 + 1e-6)
    assert_uniform(draw("rotate", count, (8, 8), stream).values["angle"], -math.pi / 12 - 1e-6, math.pi / 12 + 1e-6)
    pairs = torch.stack((*color.values(), scale["rows"], scale["columns"]))
    assert float((torch.corrcoef(pairs) - torch.eye(5)).abs().max()) < 0.05
    assert abs(float(draw("flip", count, (8, 8), stream).values["flipped"].double().mean()) - 0.5) < 0.02


@pytest.mark.parametrize(("size", "limit"), [(32, 4), (8, 1), (28, 4), (3, 0)])
def test_crop_shifts_are_uniform_integers(size: int, limit: int) -> None:
    values = draw("crop", 9000, (size, 8), generator("shift")).values
    counts = Counter(values["rows"].tolist())
    assert set(counts) == set(range(-limit, limit + 1))
    expected = 9000 / (2 * limit + 1)
    assert all(abs(count - expected) < 6 * math.sqrt(expected) for count in counts.values())
    assert set(values["columns"].tolist()) == {-1, 0, 1}


def cutout_counts(size: int, centres: range, length: int) -> dict[tuple[int, int], int]:
    """How many centres lead to each (first, last), by clamping every index of the box as the published code does."""
    boxes = []
    for centre in centres:
        indices = [min(max(centre - length // 2 + i, 0), size - 1) for i in range(length)]
        boxes.append((min(indices), max(indices)))
    return Counter(boxes)


@pytest.mark.parametrize(("size", "centres", "length"), [(32, range(33), 16), (8, range(9), 4), (10, range(10), 5)])
def test_cutout_boxes_have_the_published_distribution(size: int, centres: range, length: int) -> None:
    values = draw("cutout", 20000, (size, 8), generator("box")).values
    drawn = Counter(zip(values["first_row"].tolist(), values["last_row"].tolist(), strict=True))
    expected = cutout_counts(size, centres, length)
    assert set(drawn) == set(expected)
    for box, ways in expected.items():
        mean = 20000 * ways / len(centres)
        assert abs(drawn[box] - mean) < 6 * math.sqrt(mean)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**40), st.integers(1, 5), st.integers(1, 3), st.integers(1, 12), st.integers(1, 12))
def test_any_size_gives_finite_images_of_the_same_shape(
    seed: int, count: int, channels: int, height: int, width: int
) -> None:
    images = pixels(count, channels, height, width).float()
    result = draw(DSA, count, (height, width), generator("any", seed))(images)
    assert result.shape == images.shape
    assert bool(result.isfinite().all())


def test_the_stream_alone_decides() -> None:
    first, second = (draw(DSA, 5, (8, 8), generator("same")) for _ in range(2))
    assert first.op == second.op
    assert all(torch.equal(first.values[name], second.values[name]) for name in first.values)


def test_none_is_the_identity_and_draws_nothing() -> None:
    stream = generator("none")
    state = stream.get_state()
    images = pixels(2, 1, 4, 4)
    assert torch.equal(draw("none", 2, (4, 4), stream)(images), images)
    assert torch.equal(stream.get_state(), state)


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(UserError, match="'blur'"):
        draw("color_blur", 2, (8, 8), generator("x"))
