"""Image files to bytes of pixels, one size, one number of channels; hostile files are refused by name."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from robustdd.data.refusals import told_as
from robustdd.errors import UserError

MAX_BYTES = 2**26
"""Bytes of one image file: 64 MiB."""
MAX_PIXELS = 2**24
"""Pixels of one image as its header tells, before anything is decoded: 4,096 x 4,096."""
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "WEBP")
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_CHUNK = 256

Encoded = tuple[str, Callable[[], bytes]]
"""An image file: its name for messages, and what reads its bytes."""


@dataclass(frozen=True)
class Shape:
    """What every image is brought to: 1 or 3 channels, and `size` x `size` pixels; None: as they are, all alike."""

    channels: int
    size: int | None = None


def decode(data: bytes, name: str, shape: Shape) -> NDArray[np.uint8]:
    """Pixels, uint8 [channels, height, width], of one PNG, JPEG, BMP, PPM or WebP file.

    With `shape.size` the largest centred square is resized, bilinear with antialiasing. Colour to grey is Rec. 601
    luma; alpha, further frames and EXIF orientation are ignored. Raises UserError naming the image when it is too
    large, truncated, no such file, or has more than 8 bits a channel.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"{name}: is larger than {MAX_BYTES >> 20} MiB; expected a smaller image file")
    with told_as(f"{name}: is damaged or no image of {', '.join(FORMATS)}"):
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UserError(f"{name}: has {width} x {height} pixels; expected at most {MAX_PIXELS:,}")
            if image.mode not in _MODES:
                raise UserError(f"{name}: has pixels of kind {image.mode}; expected 8 bits a channel")
            plain = image.convert("L" if shape.channels == 1 else "RGB")
        if shape.size is not None:
            plain = ImageOps.fit(plain, (shape.size, shape.size), Image.Resampling.BILINEAR)
        pixels: NDArray[np.uint8] = np.asarray(plain, dtype=np.uint8)
        return pixels[None] if shape.channels == 1 else pixels.transpose(2, 0, 1)


def decode_into(out: Tensor, first: int, images: Sequence[Encoded], shape: Shape) -> None:
    """Decode `images` into out[first], out[first + 1], ..., `out` uint8 [n, channels, height, width], in threads.

    Raises UserError for the first image, in order, that is refused or has another size than `out`.
    """
    target = out.numpy()

    def fill(start: int) -> None:
        for row in range(start, min(start + _CHUNK, len(images))):
            name, load = images[row]
            pixels = decode(load(), name, shape)
            if pixels.shape != target.shape[1:]:
                _refuse_size(name, pixels.shape, target.shape[1:])
            target[first + row] = pixels

    with _warnings_of_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(fill, start) for start in range(0, len(images), _CHUNK)]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def decode_all(images: Sequence[Encoded], shape: Shape, like: Encoded) -> Tensor:
    """All `images` as one uint8 tensor [n, channels, height, width] of the size of the image `like`.

    Raises UserError as `decode_into`. The tensor is the only copy of the pixels; nothing is made float.
    """
    name, load = like
    with _warnings_of_pillow():
        size = decode(load(), name, shape).shape
    out = allocate((len(images), *size))
    decode_into(out, 0, images, shape)
    return out


def allocate(shape: tuple[int, ...]) -> Tensor:
    """An empty uint8 tensor; raises UserError when it does not fit in memory."""
    try:
        return torch.empty(shape, dtype=torch.uint8)
    except (RuntimeError, MemoryError) as error:
        need = f"{shape[0]:,} images of {' x '.join(map(str, shape[1:]))} bytes"
        raise UserError(f"images: {need} do not fit in memory; choose a smaller image_size") from error


def _refuse_size(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    shown = [f"{width} x {height}" for _, height, width in (found, wanted)]
    raise UserError(f"{name}: has {shown[0]} pixels, expected {shown[1]} as the others; set image_size to resize all")


@contextmanager
def _warnings_of_pillow() -> Iterator[None]:
    """Have Pillow's warning about bombs raised, so that `decode` tells it, and the one about palettes unsaid."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", "Palette images with Transparency", UserWarning)
        yield
