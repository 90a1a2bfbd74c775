"""What a bare machine lacks: the tests that need it are skipped there, and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from robustdd.engine.native import cpu

COMPILER = "needs a C++ compiler"

needs_compiler = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason=COMPILER)
_needs_processor = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in cpu._MARCH, reason="written for AVX2 and AVX-512"
)


def needs_cpp(test: Callable[..., Any]) -> Callable[..., Any]:
    """The project's own C++, compiled."""
    return needs_compiler(_needs_processor(test))
