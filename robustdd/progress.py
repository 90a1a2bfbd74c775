"""How a long computation tells where it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """`step` of `total` is done; `figures` are the newest numbers by name (loss, accuracy, rate)."""

    step: int
    total: int
    figures: Mapping[str, float] = field(default_factory=dict)


Listener = Callable[[Progress], None]


def silence(_: Progress) -> None:
    """A listener that does not listen: the default everywhere."""
