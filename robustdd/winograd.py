"""3x3 convolutions of many channels on a CPU with a quarter of the multiplications, by `winograd.cpp`.

Results are those of a plain convolution but for rounding, which is a few times its own. A library's convolutions run
at the machine's peak: only fewer operations are faster.

Source: Winograd's F(4x4, 3x3), Lavin and Gray 2016, section 4.3; the gradient of the kernel is the transpose of that.
"""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

log = logging.getLogger("robustdd")

IN, OUT = 16, 32
"""The channels of images are a multiple of IN, those of results of OUT."""
POINTS = 36
"""Products of a tile of 4x4 pixels, for each pair of channels."""
PROCESSORS = ("AVX2", "AVX512")
"""What torch calls the processors that the C++ file is written for."""

_TYPES = {torch.float32: "float", torch.float64: "double"}
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""What makes six values of three of a kernel, the matrix G of the source."""


@cache
def available(dtype: torch.dtype) -> bool:
    """Whether this processor is one of those, and the C++ file compiles for this type; if not, the log says why."""
    if dtype not in _TYPES or torch.backends.cpu.get_cpu_capability() not in PROCESSORS:
        return False
    try:
        _library(dtype)
    except Exception as trouble:  # whatever a compiler, or the lack of one, throws
        reason = (str(trouble).strip() or type(trouble).__name__).splitlines()[0][:200]
        log.warning("engine.compile: the convolutions are not compiled here (%s); torch's are used", reason)
        return False
    return True


def fits(channels: int, out: int, dtype: torch.dtype) -> bool:
    """Whether images of so many channels can be convolved to so many, in this type."""
    return channels % IN == 0 and out % OUT == 0 and dtype in _TYPES


def convolve(images: Tensor, kernel: Tensor) -> Tensor:
    """Images [n, h, w, out], of images [n, h, w, in] under a kernel [out, in, 3, 3], with zeros around."""
    images = images.contiguous()
    out, channels = kernel.shape[:2]
    cells = torch.mm(_spread(kernel.dtype), kernel.permute(2, 3, 1, 0).reshape(9, channels * out))
    planes = images.new_empty(*images.shape[:3], out)
    _run("convolve", images, cells, planes, sizes=(*images.shape, out))
    return planes


def kernel_gradient(images: Tensor, gradient: Tensor) -> Tensor:
    """Gradient [out, in, 3, 3] of a kernel that makes of images [n, h, w, in] what has the gradient [n, h, w, out]."""
    images, gradient = images.contiguous(), gradient.contiguous()
    channels, out = images.shape[3], gradient.shape[3]
    shares = images.new_empty(torch.get_num_threads(), POINTS, channels * out)
    _run("kernel_gradient", images, gradient, shares[0], shares[1:], sizes=(*images.shape, out))
    return torch.mm(_spread(images.dtype).t(), shares[0]).view(3, 3, channels, out).permute(3, 2, 0, 1)


@cache
def _spread(dtype: torch.dtype) -> Tensor:
    """Matrix [36, 9] that makes the values of a kernel that a tile's are multiplied by, of its nine."""
    one = torch.tensor(_KERNEL, dtype=torch.float64)
    return torch.einsum("ia,jb->ijab", one, one).reshape(POINTS, 9).to(dtype)


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    """The C++ file, compiled for this processor and this type where torch keeps what it compiles."""
    from torch._inductor.codecache import CppCodeCache  # brings a compiler along

    source = Path(__file__).with_suffix(".cpp").read_text(encoding="utf-8")
    library: ctypes.CDLL = CppCodeCache.load(
        f"#define REAL {_TYPES[dtype]}\n{source}", extra_flags=("-ffp-contract=fast",)
    )
    return library


def _run(name: str, *tensors: Tensor, sizes: tuple[int, ...]) -> None:
    function = getattr(_library(tensors[0].dtype), name)
    function.restype = None
    numbers = (*sizes, torch.get_num_threads())
    function(*(ctypes.c_void_p(one.data_ptr()) for one in tensors), *(ctypes.c_long(one) for one in numbers))
