"""The project's own C++ for a CPU, compiled when it is first asked for; torch's operations do where it is not.

Its results are those of torch but for rounding, which is a few times torch's own. A library's convolutions run at the
machine's peak: only fewer operations, or fewer ways to the memory, are faster. A process that has no memory left for it
ends.
"""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

log = logging.getLogger("robustdd")

_FILES = ("cpu.cpp", "winograd.cpp", "pixel_gradient.cpp")
_CODE = "".join(f'#line 1 "{name}"\n{Path(__file__).with_name(name).read_text(encoding="utf-8")}' for name in _FILES)
_MARCH = {"AVX2": "x86-64-v3", "AVX512": "x86-64-v4"}
"""What it is compiled for, and torch's name of that: a cache that several machines share knows them apart by this."""
TYPES = {torch.float32: "float", torch.float64: "double"}


@cache
def available(dtype: torch.dtype) -> bool:
    """Whether this processor is one of those, and the C++ compiles for this type; if not, the log says why."""
    if dtype not in TYPES or torch.backends.cpu.get_cpu_capability() not in _MARCH:
        return False
    try:
        library(dtype)
    except Exception as trouble:  # whatever a compiler, or the lack of one, throws
        lines = [*str(getattr(trouble, "output", trouble)).splitlines(), type(trouble).__name__]
        reason = next((line for line in lines if "error" in line), lines[0])[:200]
        log.warning("engine.compile: the convolutions are not compiled here (%s); torch's are used", reason)
        return False
    return True


def run(name: str, tensors: tuple[Tensor, ...], numbers: tuple[int, ...]) -> None:
    """Call a function of the C++ with tensors of one type, contiguous, on the CPU, and whole numbers after them."""
    if len({(one.dtype, one.device.type) for one in tensors}) > 1 or tensors[0].device.type != "cpu":
        raise ValueError(f"{name}: expected tensors of one type on the CPU")
    addresses = [ctypes.c_void_p(one.data_ptr()) for one in tensors]
    getattr(library(tensors[0].dtype), name)(*addresses, *map(ctypes.c_long, numbers))


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL:
    """The C++, compiled for this kind of processor and this type where torch keeps what it compiles."""
    from torch._inductor.codecache import CppCodeCache  # brings a compiler along

    flags = ("-ffp-contract=fast", f"-march={_MARCH[torch.backends.cpu.get_cpu_capability()]}", "-mtune=native")
    library: ctypes.CDLL = CppCodeCache.load(f"#define REAL {TYPES[dtype]}\n{_CODE}", extra_flags=flags)
    library.shares.restype = ctypes.c_long
    return library
