"""Image files to pixels: exact where they are lossless, and every bad file refused by name, in one line."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robustdd.data import decoding
from robustdd.data.decoding import Shape, allocate, decode, decode_all
from robustdd.errors import UserError
from tests.data.image_files import image_bytes, pixels

COLOUR, GREY = Shape(3), Shape(1)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header promises what its few bytes do not hold."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_files_come_back_exactly(form: str, channels: int) -> None:
    array = pixels(0, 5, 7, channels)
    found = decode(image_bytes(array, form), "x", Shape(channels))
    assert found.dtype == np.uint8 and found.shape == (channels, 5, 7)
    assert np.array_equal(found, array[None] if channels == 1 else array.transpose(2, 0, 1))


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_files_come_back_nearly(form: str) -> None:
    smooth = np.linspace(0, 255, 32, dtype=np.uint8)[:, None, None].repeat(32, 1).repeat(3, 2)
    found = decode(image_bytes(smooth, form, quality=95), "x", COLOUR)
    assert np.abs(found.transpose(1, 2, 0).astype(int) - smooth).max() <= 8


def test_grey_becomes_colour_and_colour_grey() -> None:
    grey, colour = pixels(1, channels=1), pixels(2)
    assert np.array_equal(decode(image_bytes(grey), "x", COLOUR), np.broadcast_to(grey, (3, 8, 8)))
    luma = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decode(image_bytes(colour), "x", GREY)[0] - luma).max() <= 1


def test_alpha_is_ignored_and_a_palette_looked_up() -> None:
    colour = pixels(3)
    alpha = np.concatenate([colour, pixels(4, channels=1)[..., None]], 2)
    assert np.array_equal(decode(image_bytes(alpha), "x", COLOUR), colour.transpose(2, 0, 1))
    palette = Image.fromarray(colour).quantize(16)
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=bytes(range(16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decode_all([("x", file.getvalue)] * 2, COLOUR, ("x", file.getvalue))
    assert np.array_equal(found[1].numpy(), np.asarray(palette.convert("RGB")).transpose(2, 0, 1))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 14), (20, 8), (3, 5), (64, 32)])
def test_the_largest_centred_square_is_resized(height: int, width: int) -> None:
    array = pixels(5, height, width)
    side = min(height, width)
    top, left = (height - side) / 2, (width - side) / 2
    box = (left, top, left + side, top + side)
    wanted = Image.fromarray(array).resize((8, 8), Image.Resampling.BILINEAR, box=box)
    found = decode(image_bytes(array), "x", Shape(3, 8))
    assert np.array_equal(found.transpose(1, 2, 0), np.asarray(wanted))


def test_many_images_lie_in_one_tensor_in_their_order() -> None:
    arrays = [pixels(seed, 4, 6) for seed in range(600)]
    images = [(f"{seed}", partial(image_bytes, array)) for seed, array in enumerate(arrays)]
    found = decode_all(images, COLOUR, images[0])
    assert found.shape == (600, 3, 4, 6) and found.dtype == torch.uint8 and found.is_contiguous()
    assert np.array_equal(found.numpy(), np.stack(arrays).transpose(0, 3, 1, 2))


def test_the_first_bad_image_is_named_whatever_the_threads_do() -> None:
    good, other = image_bytes(pixels(0)), image_bytes(pixels(0, 8, 9))
    images = [(f"{row}.png", lambda data=good: data) for row in range(1500)]
    for row, bad in ((1400, b"GIF89a"), (900, other), (301, b"")):
        images[row] = (f"{row}.png", lambda data=bad: data)
        with pytest.raises(UserError, match=rf"^{row}\.png: "):
            decode_all(images, COLOUR, images[0])


TRUNCATED = image_bytes(pixels(0, 32, 32))
BAD = {
    "empty": (b"", "is damaged or no image of PNG, JPEG, BMP, PPM, WEBP"),
    "text": (b"id,label\n", "is damaged or no image"),
    "another format": (image_bytes(pixels(0), "GIF"), "is damaged or no image"),
    "vector": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "is damaged or no image"),
    "truncated header": (TRUNCATED[:20], "is damaged or no image"),
    "truncated pixels": (TRUNCATED[:-400], "is damaged or no image"),
    "truncated jpeg": (image_bytes(pixels(0, 64, 64), "JPEG")[:1500], "is damaged or no image"),
    "wrong checksum": (TRUNCATED[:60] + b"\0\0\0\0" + TRUNCATED[64:], "is damaged or no image"),
    "above the limit": (png(4097, 4096), "has 4097 x 4096 pixels; expected at most 16,777,216"),
    "a warning of Pillow": (png(10_000, 10_000), "is damaged or no image"),
    "a bomb to Pillow": (png(60_000, 60_000), "is damaged or no image"),
    "no pixels": (png(0, 8), "is damaged or no image"),
    "promised, not held": (png(4000, 4000, bytes(100)), "is damaged or no image"),
    "16 bits": (image_bytes(np.zeros((8, 8), np.uint16)), "has pixels of kind I;16; expected 8 bits a channel"),
    "too many bytes": (bytes(decoding.MAX_BYTES + 1), "is larger than 64 MiB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_refused_by_name_in_one_line(name: str) -> None:
    data, reason = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.raises(UserError) as caught:
            decode_all([("cat/1.png", lambda: data)], COLOUR, ("cat/1.png", lambda: data))
    line = str(caught.value)
    assert line.startswith("cat/1.png: ") and reason in line and line.isprintable()


def test_a_set_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(UserError, match="do not fit in memory; choose a smaller image_size"):
        allocate((10**9, 3, 10**4, 10**4))


def test_pillow_is_left_as_it_was(tmp_path: Path) -> None:
    before = (Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    decode_all([("x", lambda: TRUNCATED)], COLOUR, ("x", lambda: TRUNCATED))
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


SEEDS = [image_bytes(pixels(0), form) for form in ("PNG", "JPEG", "BMP", "PPM", "WEBP")]


@settings(deadline=1000, max_examples=300)
@given(st.sampled_from([b"", *SEEDS]), st.integers(0, 400), st.integers(0, 16), st.binary(max_size=24))
def test_damaged_images_are_decoded_or_refused_in_one_line(seed: bytes, place: int, cut: int, new: bytes) -> None:
    data = seed[:place] + new + seed[place + cut :]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = decode(data, "x.png", Shape(3, 8))
    except UserError as error:
        assert str(error).startswith("x.png: ") and str(error).isprintable()
    else:
        assert found.shape == (3, 8, 8)


def test_what_is_no_image_at_all_is_told_without_an_address() -> None:
    with pytest.raises(UserError) as refused:
        decoding.decode(b"no image", "a.png", COLOUR)
    assert str(refused.value).endswith("(cannot identify image file)")
