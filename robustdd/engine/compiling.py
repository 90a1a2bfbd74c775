"""torch.compile, where it works; else everything runs as it is written, and one line says so.

On a CPU the loops of a block are compiled, for all sizes at once; convolutions are a library's, or those of
`native.cpu`. On a GPU a whole step is, for its sizes, and replayed as a CUDA graph: the launches of many small
kernels are what costs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from robustdd.engine.compiled_block import Loops, Means
from robustdd.networks.convnet import ConvNet

log = logging.getLogger("robustdd")

SIDES = (0, 1, 3)
"""Axes of split planes whose length may change from call to call: images, rows and columns."""

GRAPHS = 64
"""Functions, networks, means and sizes of batches that one process may compile whole: dynamo counts them together."""


@cache
def can_compile(device: str) -> bool:
    """Whether torch.compile works here for a kind of device; if not, the log says why, once."""
    try:
        torch.compile(torch.neg, fullgraph=True, dynamic=False)(torch.ones(8, device=device))
    except Exception as trouble:  # whatever a compiler, or the lack of one, throws
        reason = (str(trouble).strip() or type(trouble).__name__).splitlines()[0][:200]
        log.warning("engine.compile: nothing can be compiled here (%s); the steps run as they are written", reason)
        return False
    return True


@cache
def compiled_loops() -> Loops:
    """The loops of a block, each compiled when it is first run, for any number and size of images."""
    return Loops(*(_sized(torch.compile(loop, fullgraph=True)) for loop in Loops()))


@cache
def step(function: Callable[..., Any], network: ConvNet, means: Means, device: str) -> Callable[..., Any]:
    """`function` of a network and its means; where these ask for it, compiled whole and replayed as a graph."""
    fixed = partial(function, network, means)
    if not means.whole:
        return fixed
    _ = network.sizes  # computed once and kept, which a trace may not do
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS)
    return _replayed(torch.compile(fixed, fullgraph=True, dynamic=False, mode="reduce-overhead"))


def _sized(quick: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        for value in arguments:
            if isinstance(value, Tensor) and value.dim() == 6:
                for axis in SIDES:
                    if value.shape[axis] > 1:
                        torch._dynamo.maybe_mark_dynamic(value, axis)
        return quick(*arguments)

    return call


def _replayed(quick: Callable[..., Any]) -> Callable[..., Any]:
    """A graph writes its results where the last replay wrote them: they are copied out."""

    def call(*arguments: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, quick(*arguments))

    return call
