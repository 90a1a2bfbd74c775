"""DSA, the augmentation of the dataset-distillation literature: drawn once, replayed at will."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.errors import UserError
from robustdd.networks.resample import lattice, places_of, shift, warp

PAD_SHARE = 0.125
CUTOUT_SHARE = 0.5
MAX_SCALE = 1.2
MAX_ANGLE = math.radians(15)

Values = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Augmentation:
    """One operation with the parameters of every sample, drawn before: calling it twice gives the same bits.

    `values` holds one row a sample. The call is affine in the pixels and differentiable, leaves its input alone and
    runs on the device and in the floating type of the images, with a deterministic backward.
    """

    op: str
    values: Values

    def __call__(self, images: Tensor) -> Tensor:
        """Augmented images [n, channels, height, width], n as drawn."""
        if self.op == "none":
            return images
        return _OPERATIONS[self.op][1](
            images, {name: value.to(images, non_blocking=True) for name, value in self.values.items()}
        )


def draw(strategy: str, count: int, image_size: tuple[int, int], generator: torch.Generator) -> Augmentation:
    """Draw one word of `strategy`, uniformly, for a whole batch of `count` images, and its parameters for each of them.

    `strategy` is words joined by "_" out of color, crop, cutout, flip, scale and rotate, or "none" (the identity, which
    draws nothing); `image_size` is (height, width). Raises UserError for an unknown word.

    Source: Zhao & Bilen 2021, mode "S" with parameters of its own for each sample, as MTT and DATM use it.
    """
    if strategy == "none":
        return Augmentation("none", {})
    words = strategy.split("_")
    if unknown := [word for word in words if word not in _OPERATIONS]:
        raise UserError(
            f"augmentation {unknown[0]!r} is not known: write none, or join {', '.join(_OPERATIONS)} by '_'"
        )
    op = words[int(torch.randint(len(words), (), generator=generator))]
    return Augmentation(op, _OPERATIONS[op][0](count, image_size, generator))


def _draw_color(count: int, _: tuple[int, int], generator: torch.Generator) -> Values:
    brightness, saturation, contrast = torch.rand(3, count, generator=generator)
    return {"brightness": brightness - 0.5, "saturation": 2 * saturation, "contrast": contrast + 0.5}


def _color(images: Tensor, values: Values) -> Tensor:
    brightness, saturation, contrast = (
        values[name].view(-1, 1, 1, 1) for name in ("brightness", "saturation", "contrast")
    )
    images = images + brightness
    images = images.mean(1, keepdim=True).lerp(images, saturation)
    return images.mean((1, 2, 3), keepdim=True).lerp(images, contrast)


def _draw_crop(count: int, image_size: tuple[int, int], generator: torch.Generator) -> Values:
    limits = [int(size * PAD_SHARE + 0.5) for size in image_size]
    rows, columns = (torch.randint(-limit, limit + 1, (count,), generator=generator) for limit in limits)
    return {"rows": rows, "columns": columns}


def _crop(images: Tensor, values: Values) -> Tensor:
    return shift(images, values["rows"], values["columns"])


def _draw_cutout(count: int, image_size: tuple[int, int], generator: torch.Generator) -> Values:
    values: Values = {}
    for axis, size in zip(("row", "column"), image_size, strict=True):
        length = int(size * CUTOUT_SHARE + 0.5)
        first = torch.randint(0, size + 1 - length % 2, (count,), generator=generator) - length // 2
        values |= {f"first_{axis}": first.clamp(min=0), f"last_{axis}": (first + length - 1).clamp(max=size - 1)}
    return values


def _cutout(images: Tensor, values: Values) -> Tensor:
    inside = []
    for axis, size in zip(("row", "column"), images.shape[2:], strict=True):
        places = places_of(size, images)
        inside.append((places >= values[f"first_{axis}"][:, None]) & (places <= values[f"last_{axis}"][:, None]))
    box = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(box, 0)


def _draw_flip(count: int, _: tuple[int, int], generator: torch.Generator) -> Values:
    return {"flipped": torch.rand(count, generator=generator) < 0.5}


def _flip(images: Tensor, values: Values) -> Tensor:
    return torch.where(values["flipped"].bool().view(-1, 1, 1, 1), images.flip(3), images)


def _draw_scale(count: int, _: tuple[int, int], generator: torch.Generator) -> Values:
    columns, rows = torch.rand(2, count, generator=generator) * (MAX_SCALE - 1 / MAX_SCALE) + 1 / MAX_SCALE
    return {"columns": columns, "rows": rows}


def _scale(images: Tensor, values: Values) -> Tensor:
    row, column = lattice(images)
    return warp(images, values["rows"].view(-1, 1, 1) * row, values["columns"].view(-1, 1, 1) * column)


def _draw_rotate(count: int, _: tuple[int, int], generator: torch.Generator) -> Values:
    return {"angle": (torch.rand(count, generator=generator) * 2 - 1) * MAX_ANGLE}


def _rotate(images: Tensor, values: Values) -> Tensor:
    row, column = lattice(images)
    sine, cosine = values["angle"].sin().view(-1, 1, 1), values["angle"].cos().view(-1, 1, 1)
    return warp(images, sine * column + cosine * row, cosine * column - sine * row)


_Draw = Callable[[int, tuple[int, int], torch.Generator], Values]
_Apply = Callable[[Tensor, Values], Tensor]
_OPERATIONS: dict[str, tuple[_Draw, _Apply]] = {
    "color": (_draw_color, _color),
    "crop": (_draw_crop, _crop),
    "cutout": (_draw_cutout, _cutout),
    "flip": (_draw_flip, _flip),
    "scale": (_draw_scale, _scale),
    "rotate": (_draw_rotate, _rotate),
}
