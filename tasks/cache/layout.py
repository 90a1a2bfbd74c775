"""Where a study's files lie, from the core: `python -m robustdd prune` has to know, too."""

from __future__ import annotations

from robustdd.store.paths import Layout, Place

__all__ = ["Layout", "Place"]
