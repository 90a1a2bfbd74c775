"""The lock of a stage's only writer, from the core: `python -m robustdd prune` takes it, too."""

from __future__ import annotations

from robustdd.store.locking import only_writer

__all__ = ["only_writer"]
