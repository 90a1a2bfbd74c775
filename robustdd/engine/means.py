"""How engine settings are carried out on the device at hand."""

from __future__ import annotations

from torch import Tensor

from robustdd.engine.compiled_block import Loops, Means
from robustdd.engine.compiling import compiled_loops
from robustdd.engine.conv import Arithmetic, arithmetic_of
from robustdd.engine.native import cpu
from robustdd.params import Engine


def means_of(engine: Engine, like: Tensor) -> Means:
    """Means for tensors like this one, under settings that can be carried out: where these compile, on a CPU loops, and
    convolutions by the project's own C++; on a GPU whole steps."""
    device, compiled = like.device, engine.compile == "on"
    arithmetic = arithmetic_of(engine.precision, device)
    if not compiled or device.type != "cpu":
        return Means(Loops(), arithmetic, like.dtype, compiled)
    quick: Arithmetic = "winograd" if arithmetic == "native" and cpu.available(like.dtype) else arithmetic
    return Means(compiled_loops(), quick, like.dtype)
