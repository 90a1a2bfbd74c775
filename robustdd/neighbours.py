"""Nearest neighbours in feature space, exact."""

from __future__ import annotations

from importlib import metadata
from types import ModuleType

import torch
from torch import Tensor

from robustdd.errors import Diverged, UserError

_CHUNK = 256
"""Rows compared with all others at a time: at 50,000 samples 51 MB of similarities."""


def nearest_neighbours(features: Tensor, k: int, backend: str) -> Tensor:
    """Positions of the `k` most similar other rows, int64 [n, k], nearest first, of `features` [n, d].

    Similarity is the cosine (inner product of L2-normalised rows; a row of zeros is equally far from all). The row
    itself is dropped by its id, so that a duplicate of it counts as a neighbour. `faiss` runs on a GPU where faiss has
    one, `torch` on the device of the features; they agree except in the choice among ties. Raises UserError when
    k >= n or faiss is missing, Diverged when a feature is not finite. Memory: one copy of the features, of length 1.
    """
    if not 1 <= k < len(features):
        raise UserError(f"neighbours k: expected 1..{len(features) - 1} for {len(features)} images, got {k}")
    unit = _of_length_one(features)
    return _without_self(_search(unit, unit, k + 1, backend))


def _of_length_one(features: Tensor) -> Tensor:
    lengths = features.norm(dim=1, keepdim=True)
    if not bool(lengths.isfinite().all()):  # of all numbers at once this would take two copies of them
        raise Diverged("features: some are not finite; the network has diverged, lower its learning rate")
    unit: Tensor = features / lengths.clamp(min=1e-12)
    return unit


def _without_self(found: Tensor) -> Tensor:
    """`found` [n, k + 1] without the row itself, or without the last where duplicates crowd the row itself out."""
    own = found == torch.arange(len(found), device=found.device)[:, None]
    own[:, -1] |= ~own.any(1)
    return found[~own].view(len(found), -1)


def _search(queries: Tensor, rows: Tensor, count: int, backend: str) -> Tensor:
    if backend == "torch":
        parts = torch.split(queries, _CHUNK)
        return torch.cat([(part @ rows.T).topk(count, dim=1).indices for part in parts])
    if backend == "faiss":
        return _search_faiss(queries, rows, count)
    raise UserError(f"neighbours backend: expected faiss or torch, got {backend!r}")


def _search_faiss(queries: Tensor, rows: Tensor, count: int) -> Tensor:
    faiss = _faiss()
    arrays = [part.float().cpu().contiguous().numpy() for part in (queries, rows)]
    # Without an index, which would be another copy of all rows.
    how = {"k": count, "metric": faiss.METRIC_INNER_PRODUCT}
    if faiss.get_num_gpus() > 0:
        found = faiss.knn_gpu(faiss.StandardGpuResources(), *arrays, **how)[1]
    else:
        # faiss takes all cores by itself, whatever share of them this task was given.
        faiss.omp_set_num_threads(torch.get_num_threads())
        found = faiss.knn(*arrays, **how)[1]
    return torch.from_numpy(found).to(queries.device)


def _faiss() -> ModuleType:
    if _is_installed("faiss-cpu") and _is_installed("faiss-gpu"):
        raise UserError(
            "neighbours backend faiss: faiss-cpu and faiss-gpu are both installed; uninstall both, then install one"
        )
    try:
        import faiss
    except ImportError:
        raise UserError(
            "neighbours backend faiss: faiss is not installed; "
            "install robustdd[cpu] or robustdd[gpu], or set backend: torch"
        ) from None
    module: ModuleType = faiss
    return module


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
