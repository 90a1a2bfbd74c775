"""What a bare machine lacks: the tests that need it are skipped there, and say so."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from robustdd.engine.native import cpu

COMPILER = "needs a C++ compiler and Python's headers"
_compiles = shutil.which(os.environ.get("CXX", "g++")) and Path(sysconfig.get_path("include"), "Python.h").exists()

needs_compiler = pytest.mark.skipif(not _compiles, reason=COMPILER)
_needs_processor = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in cpu._MARCH, reason="written for AVX2 and AVX-512"
)


def needs_cpp(test: Callable[..., Any]) -> Callable[..., Any]:
    """The project's own C++, compiled."""
    return needs_compiler(_needs_processor(test))
