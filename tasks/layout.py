"""Where a study's files lie, from the core: `python -m robustdd prune` has to know, too."""

from __future__ import annotations

from robustdd.layout import Layout, Place

__all__ = ["Layout", "Place"]
