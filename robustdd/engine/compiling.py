"""torch.compile, where it works; elsewhere `compile: on` is `off`, and one line says so.

On a CPU the loops of a block are compiled, for all sizes at once; convolutions are a library's, or those of
`native.cpu`. On a GPU a whole step is, for its sizes, and replayed as a CUDA graph: the launches of many small
kernels are what costs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from robustdd.engine.compiled_block import Loops, Means
from robustdd.networks.convnet import ConvNet
from robustdd.params import Engine

log = logging.getLogger("robustdd")

SIDES = (0, 1, 3)
"""Axes of split planes whose length may change from call to call: images, rows and columns."""

VARIANTS = 10_000
"""Networks, types and sizes for which a process may compile one function: more than any study has. Beyond dynamo's own
limit, 8, a function that is compiled whole raises."""


@cache
def can_compile(device: str) -> bool:
    """Whether torch.compile works here for a kind of device; if not, the log says why, once."""
    try:
        torch.compile(torch.neg, fullgraph=True, dynamic=False)(torch.ones(8, device=device))
    except Exception as trouble:  # whatever a compiler, or the lack of one, throws
        reason = (str(trouble).strip() or type(trouble).__name__).splitlines()[0][:200]
        log.warning("engine.compile: nothing can be compiled here (%s); it is off", reason)
        return False
    return True


def carried_out(engine: Engine, device: str) -> Engine:
    """The settings as a kind of device can carry them out: where nothing can be compiled, those of `compile: off`."""
    if engine.compile == "on" and not can_compile(device):
        return replace(engine, compile="off", keep="off")
    return engine


@cache
def compiled_loops() -> Loops:
    """The loops of a block, each compiled when it is first run, for any number and size of images."""
    return Loops(*(_sized(_compiled(loop)) for loop in Loops()))


@cache
def step(function: Callable[..., Any], network: ConvNet, means: Means, device: str) -> Callable[..., Any]:
    """`function` of a network and its means; where these ask for it, compiled whole and replayed as a graph."""
    fixed = partial(function, network, means)
    if not means.whole:
        return fixed
    _ = network.sizes  # computed once and kept, which a trace may not do
    return _replayed(_compiled(fixed, dynamic=False, mode="reduce-overhead"))


def _compiled(function: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    """`function` compiled whole, for as many variants as it is called with."""
    quick = torch.compile(function, fullgraph=True, **how)

    def call(*arguments: Any) -> Any:
        config = torch._dynamo.config
        if config.recompile_limit < VARIANTS:  # once a thread: each has settings of its own
            config.recompile_limit = config.accumulated_recompile_limit = VARIANTS
        return quick(*arguments)

    return call


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
