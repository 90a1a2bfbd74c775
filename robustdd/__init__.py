"""Distil a tiny, clean training set out of a large, wrongly labelled one."""

from __future__ import annotations

__version__ = "0.1.0"
