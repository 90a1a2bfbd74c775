"""torchvision beside a torch that its compiled operators were not built for."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def torchvision(module: str = "") -> ModuleType:
    """Import `torchvision`, or its submodule `module`, whether or not its compiled operators load.

    The package on PyPI is built for CUDA; beside a CPU-only torch its operators do not load and the import dies with
    "operator torchvision::nms does not exist". What this project uses of it (utils, datasets, models, transforms) needs
    none of them, so the schemas that are missing, and only those, are declared first.
    """
    if not _operators_load():
        _declare_operators()
    return importlib.import_module(f"torchvision.{module}" if module else "torchvision")


def _operators_load() -> bool:
    """Whether the compiled library loads. Loading it is what torchvision does itself, so doing it twice is harmless."""
    spec = importlib.util.find_spec("torchvision")
    folders = (spec.submodule_search_locations if spec else None) or []
    for library in (found for folder in folders for found in sorted(Path(folder).glob("_C*.so"))):
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except OSError:
            continue
        return True
    return False


@cache
def _declare_operators() -> torch.library.Library:
    """Declare the missing schemas. Cached because the declarations die with the library object that made them."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)  # type: ignore[no-untyped-call]
    return library
