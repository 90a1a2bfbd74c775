"""How engine settings are carried out on the device at hand."""

from __future__ import annotations

from torch import Tensor

from robustdd.arithmetic import arithmetic_of
from robustdd.compiling import can_compile, compiled_loops
from robustdd.fused_block import Loops, Means
from robustdd.params import Engine


def means_of(engine: Engine, like: Tensor) -> Means:
    """Means for tensors like this one: loops compiled on a CPU, whole steps on a GPU, neither without a compiler."""
    device = like.device
    compiled = engine.compile == "on" and can_compile(device.type)
    loops = compiled_loops() if compiled and device.type == "cpu" else Loops()
    return Means(loops, arithmetic_of(engine.precision, device), like.dtype, compiled and device.type != "cpu")
