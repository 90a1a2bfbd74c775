"""Nearest neighbours in feature space, exact."""

from __future__ import annotations

from importlib import metadata
from types import ModuleType

import torch
from torch import Tensor

from robustdd.errors import Diverged, UserError

_CHUNK = 2048
"""Rows and columns of a block of similarities, 17 MB in float32."""


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
    return _without_self(_search(unit, k + 1, backend))


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


def _search(rows: Tensor, count: int, backend: str) -> Tensor:
    if backend == "torch":
        return _search_torch(rows, count)
    if backend == "faiss":
        return _search_faiss(rows, count)
    raise UserError(f"neighbours backend: expected faiss or torch, got {backend!r}")


def _search_torch(rows: Tensor, count: int) -> Tensor:
    """Every block of similarities is computed once, for its rows and for its columns: half of all products."""
    best = rows.new_full((len(rows), count), -torch.inf)
    places = torch.zeros(best.shape, dtype=torch.int64, device=rows.device)
    for begin in range(0, len(rows), _CHUNK):
        here = slice(begin, begin + _CHUNK)
        for other in range(begin, len(rows), _CHUNK):
            there = slice(other, other + _CHUNK)
            similarities = rows[here] @ rows[there].T
            _compete(best[here], places[here], similarities, other)
            if other > begin:
                _compete(best[there], places[there], similarities.T, begin)
    return places


def _compete(best: Tensor, places: Tensor, similarities: Tensor, begin: int) -> None:
    """Let the rows from `begin` on compete for the best that were found so far, in place."""
    found = similarities.topk(min(best.shape[1], similarities.shape[1]), dim=1)
    values, order = torch.cat([best, found.values], 1).topk(best.shape[1], dim=1)
    places.copy_(torch.cat([places, found.indices + begin], 1).gather(1, order))
    best.copy_(values)


def _search_faiss(rows: Tensor, count: int) -> Tensor:
    faiss = _faiss()
    array = rows.float().cpu().contiguous().numpy()
    # Without an index, which would be another copy of all rows.
    how = {"k": count, "metric": faiss.METRIC_INNER_PRODUCT}
    if faiss.get_num_gpus() > 0:
        found = faiss.knn_gpu(faiss.StandardGpuResources(), array, array, **how)[1]
    else:
        # faiss takes all cores by itself, whatever share of them this task was given.
        faiss.omp_set_num_threads(torch.get_num_threads())
        found = faiss.knn(array, array, **how)[1]
    return torch.from_numpy(found).to(rows.device)


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
