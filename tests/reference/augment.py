"""DSA pixel by pixel in float64, from the definitions of the operations."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def augmented(op: str, values: dict[str, Tensor], images: Tensor) -> Tensor:
    """`op` on float64 images [n, channels, height, width], with the same parameters as the fast code drew."""
    rows = [{name: float(value[sample]) for name, value in values.items()} for sample in range(len(images))]
    return torch.stack([_OPERATIONS[op](image, row) for image, row in zip(images, rows, strict=True)])


def _color(image: Tensor, values: dict[str, float]) -> Tensor:
    channels, height, width = image.shape
    result = image.clone()
    for row in range(height):
        for column in range(width):
            pixel = [float(image[channel, row, column]) + values["brightness"] for channel in range(channels)]
            grey = sum(pixel) / channels
            for channel in range(channels):
                result[channel, row, column] = (pixel[channel] - grey) * values["saturation"] + grey
    mean = sum(result.flatten().tolist()) / result.numel()
    return (result - mean) * values["contrast"] + mean


def _crop(image: Tensor, values: dict[str, float]) -> Tensor:
    return _sampled(image, lambda row, column: (row + values["rows"], column + values["columns"]))


def _cutout(image: Tensor, values: dict[str, float]) -> Tensor:
    result = image.clone()
    for row in range(int(values["first_row"]), int(values["last_row"]) + 1):
        for column in range(int(values["first_column"]), int(values["last_column"]) + 1):
            result[:, row, column] = 0
    return result


def _flip(image: Tensor, values: dict[str, float]) -> Tensor:
    width = image.shape[2]
    return _sampled(image, lambda row, column: (row, width - 1 - column if values["flipped"] else column))


def _scale(image: Tensor, values: dict[str, float]) -> Tensor:
    return _affine(image, values["columns"], 0, 0, values["rows"])


def _rotate(image: Tensor, values: dict[str, float]) -> Tensor:
    cosine, sine = math.cos(values["angle"]), math.sin(values["angle"])
    return _affine(image, cosine, -sine, sine, cosine)


def _affine(image: Tensor, xx: float, xy: float, yx: float, yy: float) -> Tensor:
    """Sample at (xx x + xy y, yx x + yy y) of coordinates in -1..1, corners aligned."""
    height, width = image.shape[1:]

    def place(row: float, column: float) -> tuple[float, float]:
        y = 2 * row / (height - 1) - 1 if height > 1 else 0
        x = 2 * column / (width - 1) - 1 if width > 1 else 0
        return (yx * x + yy * y + 1) * (height - 1) / 2, (xx * x + xy * y + 1) * (width - 1) / 2

    return _sampled(image, place)


def _sampled(image: Tensor, place) -> Tensor:
    channels, height, width = image.shape
    result = torch.zeros_like(image)
    for channel in range(channels):
        for row in range(height):
            for column in range(width):
                result[channel, row, column] = _bilinear(image[channel], *place(row, column))
    return result


def _bilinear(plane: Tensor, row: float, column: float) -> float:
    top, left = math.floor(row), math.floor(column)
    total = 0.0
    for y, y_share in ((top, 1 - (row - top)), (top + 1, row - top)):
        for x, x_share in ((left, 1 - (column - left)), (left + 1, column - left)):
            if 0 <= y < plane.shape[0] and 0 <= x < plane.shape[1]:
                total += y_share * x_share * float(plane[y, x])
    return total


_OPERATIONS = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}
