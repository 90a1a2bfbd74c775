"""How a long computation tells where it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """`step` of `total` is done; `figures` are the newest numbers by name (loss, accuracy, rate).

    `tensors` are the computation's own, to look at from any thread: nobody changes them, the computation included.
    """

    step: int
    total: int
    figures: Mapping[str, float] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


Listener = Callable[[Progress], None]


def silence(_: Progress) -> None:
    """A listener that does not listen: the default everywhere."""
