"""3x3 convolutions of many channels on a CPU with a quarter of the multiplications, by `winograd.cpp`.

Results are those of a plain convolution but for rounding, which is a few times its own. A library's convolutions run
at the machine's peak: only fewer operations are faster. A process that has no memory left for it ends.

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
_CODE = Path(__file__).with_suffix(".cpp").read_text(encoding="utf-8")
_MARCH = {"AVX2": "x86-64-v3", "AVX512": "x86-64-v4"}
"""What it is compiled for, and torch's name of that: a cache that several machines share knows them apart by this."""
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
    if dtype not in _TYPES or torch.backends.cpu.get_cpu_capability() not in _MARCH:
        return False
    try:
        _library(dtype)
    except Exception as trouble:  # whatever a compiler, or the lack of one, throws
        lines = [*str(getattr(trouble, "output", trouble)).splitlines(), type(trouble).__name__]
        reason = next((line for line in lines if "error" in line), lines[0])[:200]
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
    if channels != images.shape[3]:
        raise ValueError(f"a kernel of {channels} channels is given images of {images.shape[3]}")
    cells = torch.mm(_kernel_points(kernel.dtype), kernel.permute(2, 3, 1, 0).reshape(9, channels * out))
    planes = images.new_empty(*images.shape[:3], out)
    sizes = (*images.shape, out)
    _run("convolve", (images, cells, planes), sizes, _shares(images))
    return planes


def kernel_gradient(images: Tensor, gradient: Tensor) -> Tensor:
    """Gradient [out, in, 3, 3] of a kernel that makes of images [n, h, w, in] what has the gradient [n, h, w, out]."""
    images, gradient = images.contiguous(), gradient.contiguous()
    if images.shape[:3] != gradient.shape[:3]:
        raise ValueError(f"images of shape {tuple(images.shape)} are given a gradient of {tuple(gradient.shape)}")
    channels, out = images.shape[3], gradient.shape[3]
    sizes = (*images.shape, out)
    count = _shares(images)
    found = images.new_empty(count, POINTS, channels * out)
    _run("kernel_gradient", (images, gradient, found[0], found[1:]), sizes, count)
    return torch.mm(_kernel_points(images.dtype).t(), found[0]).view(3, 3, channels, out).permute(3, 2, 0, 1)


@cache
def _kernel_points(dtype: torch.dtype) -> Tensor:
    """Matrix [36, 9] that makes the values of a kernel that a tile's are multiplied by, of its nine."""
    one = torch.tensor(_KERNEL, dtype=torch.float64)
    return torch.einsum("ia,jb->ijab", one, one).reshape(POINTS, 9).to(dtype)


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    """The C++ file, compiled for this kind of processor and this type where torch keeps what it compiles."""
    from torch._inductor.codecache import CppCodeCache  # brings a compiler along

    flags = ("-ffp-contract=fast", f"-march={_MARCH[torch.backends.cpu.get_cpu_capability()]}", "-mtune=native")
    library: ctypes.CDLL = CppCodeCache.load(f"#define REAL {_TYPES[dtype]}\n{_CODE}", extra_flags=flags)
    library.shares.restype = ctypes.c_long
    return library


def _shares(images: Tensor) -> int:
    """How many threads can have a share of the work."""
    numbers = (*images.shape[:3], torch.get_num_threads())
    found: int = _library(images.dtype).shares(*map(ctypes.c_long, numbers))
    return found


def _run(name: str, tensors: tuple[Tensor, ...], sizes: tuple[int, ...], threads: int) -> None:
    """Call a function of the file with tensors of one type, contiguous, on the CPU."""
    if len({(one.dtype, one.device.type) for one in tensors}) > 1 or tensors[0].device.type != "cpu":
        raise ValueError(f"{name}: expected tensors of one type on the CPU")
    addresses = [ctypes.c_void_p(one.data_ptr()) for one in tensors]
    getattr(_library(tensors[0].dtype), name)(*addresses, *map(ctypes.c_long, (*sizes, threads)))
