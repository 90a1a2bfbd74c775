"""The space in which networks see images: ZCA-whitened or standardised, and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from robustdd.errors import UserError

_CHUNK = 1024
"""Images at a time, so that float copies stay small beside the uint8 images."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """An affine map of images in 0..1 and its inverse, held in float64, applied in float32.

    `zca`: mean [channels, height, width]; matrix and inverse [d, d], d = channels * height * width, both symmetric.
    `standard`: mean, matrix (1 / std) and inverse (std), each [channels, 1, 1].
    """

    mean: Tensor
    matrix: Tensor
    inverse: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """Whitened images, float32 [n, channels, height, width], of uint8 ones; raises UserError for others."""
        if images.dtype != torch.uint8:
            raise UserError(f"whitening: expected uint8 images, got {images.dtype}")
        self._check_shape(images)
        mean, matrix = (part.to(images.device, torch.float32) for part in (self.mean, self.matrix))
        whitened = torch.empty(images.shape, dtype=torch.float32, device=images.device)
        for rows, chunk in _chunks(images):
            whitened[rows] = _product(chunk.float() / 255 - mean, matrix)
        return whitened

    def invert(self, whitened: Tensor) -> Tensor:
        """Images in 0..1, not clipped, float32 [n, c, h, w], of whitened ones; raises UserError on a misfit."""
        self._check_shape(whitened)
        mean, inverse = (part.to(whitened.device, torch.float32) for part in (self.mean, self.inverse))
        images = torch.empty(whitened.shape, dtype=torch.float32, device=whitened.device)
        for rows, chunk in _chunks(whitened):
            images[rows] = _product(chunk.float(), inverse) + mean
        return images

    def on(self, device: torch.device) -> Whitening:
        """The same map in float32 on a device, so that many small calls need not move and round it each time."""
        return Whitening(*(part.to(device, torch.float32) for part in self.tensors().values()))

    def tensors(self) -> dict[str, Tensor]:
        """What a file must hold for `from_tensors`, all float64."""
        return {"mean": self.mean, "matrix": self.matrix, "inverse": self.inverse}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The map whose `tensors()` these are."""
        return cls(tensors["mean"], tensors["matrix"], tensors["inverse"])

    def _check_shape(self, images: Tensor) -> None:
        # ZCA fixes channels, height and width; standardising fixes the channels alone.
        wanted = list(self.mean.shape[: 3 if self.matrix.dim() == 2 else 1])
        given = list(images.shape)
        if len(given) != 4 or given[1 : 1 + len(wanted)] != wanted:
            raise UserError(f"whitening: expected images [n, channels, ...] with {wanted} after n, got {given}")


def fit(images: Tensor, kind: str, epsilon: float) -> Whitening:
    """Whitening of the training images, uint8 [n, channels, height, width], without their labels.

    `zca`: matrix (S + epsilon)^(-1/2) of the unbiased covariance S of the pixels in 0..1. `standard`: mean and (biased)
    standard deviation of every channel, `epsilon` unused. Raises UserError where the map would have no inverse.
    Source: ZCA with epsilon 0.1 as MTT and DATM preprocess CIFAR.
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or len(images) < 2:
        given = f"{images.dtype} {list(images.shape)}"
        raise UserError(f"whitening: expected 2 or more uint8 images [n, channels, height, width], got {given}")
    # On the CPU: eigenvectors of a GPU differ, and one machine's whitening must serve another's.
    images = images.cpu()
    if kind == "zca":
        return _fit_zca(images, epsilon)
    if kind == "standard":
        return _fit_standard(images)
    raise UserError(f"whitening: expected zca or standard, got {kind!r}")


def _fit_zca(images: Tensor, epsilon: float) -> Whitening:
    mean = _pixel_mean(images)
    size = mean.numel()
    scatter = torch.zeros(size, size, dtype=torch.float64)
    for _, chunk in _chunks(images):
        centred = (chunk.double() / 255 - mean).flatten(1)
        scatter.addmm_(centred.T, centred)
    variances, axes = torch.linalg.eigh(scatter.div_(len(images) - 1))
    # Rounding leaves eigenvalues of a constant direction near 0, on either side.
    noise_floor = float(variances[-1]) * size * torch.finfo(torch.float64).eps
    regular = variances.clamp(min=0) + epsilon
    if float(regular[0]) <= noise_floor:
        raise UserError(
            f"zca_epsilon {epsilon}: some pixels never vary by themselves; expected a larger one, such as 0.1"
        )
    return Whitening(mean, (axes * regular.rsqrt()) @ axes.T, (axes * regular.sqrt()) @ axes.T)


def _fit_standard(images: Tensor) -> Whitening:
    mean = _pixel_mean(images).mean((1, 2), keepdim=True)
    squares = torch.zeros_like(mean)
    for _, chunk in _chunks(images):
        squares += (chunk.double() / 255 - mean).square().sum((0, 2, 3)).view_as(mean)
    std = (squares / (images.numel() / images.shape[1])).sqrt()
    if not bool((std > 0).all()):
        raise UserError(
            "whitening standard: a channel of the training images is constant; use zca, or drop the channel"
        )
    return Whitening(mean, 1 / std, std)


def _pixel_mean(images: Tensor) -> Tensor:
    # Sums of whole numbers are exact, so the mean does not depend on the chunks.
    total = torch.zeros(images.shape[1:], dtype=torch.int64)
    for _, chunk in _chunks(images):
        total += chunk.sum(0, dtype=torch.int64)
    return total.double() / (255 * len(images))


def _chunks(images: Tensor) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, len(images), _CHUNK):
        rows = slice(start, start + _CHUNK)
        yield rows, images[rows]


def _product(values: Tensor, matrix: Tensor) -> Tensor:
    """Images times a matrix [d, d] over their flattened pixels, or times a scale [channels, 1, 1]."""
    if matrix.dim() == 2:
        return (values.flatten(1) @ matrix).view_as(values)
    return values * matrix
