from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from robustdd.errors import Diverged, UserError
from robustdd.rng import generator
from robustdd.weighting import neighbours
from robustdd.weighting.neighbours import nearest_neighbours
from robustdd.weighting.weights import dynamic_weight
from tests.reference import consistency as reference

torch.set_num_threads(1)

BACKENDS = ["faiss", "torch"]
FIXED = settings(deadline=None, max_examples=25, derandomize=True)
"""Always the same examples: two cosines that agree in all float32 digits may come in either order."""


def features(seed: int, count: int = 40, size: int = 5) -> Tensor:
    return torch.randn(count, size, generator=generator("features", seed)) * 3


@pytest.mark.parametrize("backend", BACKENDS)
@FIXED
@given(seed=st.integers(0, 1000), k=st.integers(1, 39))
def test_neighbours_are_the_highest_cosines_of_all_pairs(backend: str, seed: int, k: int) -> None:
    rows = features(seed)
    before = rows.clone()
    found = nearest_neighbours(rows, k, backend)
    assert found.dtype == torch.int64
    assert found.tolist() == reference.nearest(rows.double().tolist(), k)
    assert torch.equal(rows, before)


@pytest.mark.parametrize("backend", BACKENDS)
@FIXED
@given(seed=st.integers(0, 1000))
def test_reordered_rows_have_the_same_neighbours(backend: str, seed: int) -> None:
    rows = features(seed)
    order = torch.randperm(len(rows), generator=generator("order", seed))
    found, moved = nearest_neighbours(rows, 7, backend), nearest_neighbours(rows[order], 7, backend)
    assert [set(row) for row in order[moved].tolist()] == [set(row) for row in found[order].tolist()]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_duplicate_is_a_neighbour_and_the_row_itself_is_none(backend: str) -> None:
    rows = torch.randn(4000, 128, generator=generator("duplicates"))
    rows[200] = rows[100]
    rows[3000:3030] = rows[3000]
    found = nearest_neighbours(rows, 10, backend)
    assert found.shape == (4000, 10)
    assert not bool((found == torch.arange(4000)[:, None]).any())
    assert int(found[100, 0]) == 200
    assert int(found[200, 0]) == 100
    for row in found[3000:3030].tolist():
        assert set(row) <= set(range(3000, 3030))
        assert len(set(row)) == 10


@pytest.mark.parametrize("backend", BACKENDS)
def test_length_does_not_matter_and_chunks_do_not_show(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = features(1, 100)
    found = nearest_neighbours(rows, 5, backend)
    lengths = torch.rand(100, 1, generator=generator("lengths")) + 0.1
    assert torch.equal(nearest_neighbours(rows * lengths, 5, backend), found)
    monkeypatch.setattr(neighbours, "_CHUNK", 7)
    assert torch.equal(nearest_neighbours(rows, 5, backend), found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_zeros_are_nobodys_reason_to_stop(backend: str) -> None:
    rows = features(2)
    rows[3:6] = 0
    found = nearest_neighbours(rows, 4, backend)
    assert not bool((found == torch.arange(len(rows))[:, None]).any())


@pytest.mark.parametrize("k", [0, 40, 41])
def test_k_must_leave_somebody_out(k: int) -> None:
    with pytest.raises(UserError, match=rf"neighbours k: expected 1\.\.39 for 40 images, got {k}"):
        nearest_neighbours(features(0), k, "torch")


def test_features_that_are_not_finite_stop_the_run() -> None:
    rows = features(0)
    rows[7, 1] = float("nan")
    with pytest.raises(Diverged, match="not finite"):
        nearest_neighbours(rows, 3, "torch")


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UserError, match="expected faiss or torch, got 'annoy'"):
        nearest_neighbours(features(0), 3, "annoy")


def test_a_missing_faiss_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name == "faiss":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"robustdd\[cpu\] or robustdd\[gpu\], or set backend: torch"):
        nearest_neighbours(features(0), 3, "faiss")


def test_two_faiss_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_is_installed", lambda distribution: True)
    with pytest.raises(UserError, match="both installed"):
        nearest_neighbours(features(0), 3, "faiss")


def test_faiss_goes_to_its_gpu_where_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    asked = []

    def knn_gpu(resources: str, queries: Any, rows: Any, **how: Any) -> Any:
        asked.append((resources, how))
        return faiss.knn(queries, rows, **how)

    stand_in = SimpleNamespace(
        METRIC_INNER_PRODUCT=faiss.METRIC_INNER_PRODUCT,
        get_num_gpus=lambda: 1,
        StandardGpuResources=lambda: "resources",
        knn_gpu=knn_gpu,
    )
    monkeypatch.setattr(neighbours, "_faiss", lambda: stand_in)
    rows = features(0)
    assert torch.equal(nearest_neighbours(rows, 3, "faiss"), nearest_neighbours(rows, 3, "torch"))
    assert asked == [("resources", {"k": 4, "metric": faiss.METRIC_INNER_PRODUCT})]


def test_both_agree_but_for_what_is_within_a_millionth_of_the_last_and_so_do_the_weights() -> None:
    rows = torch.randn(3000, 64, generator=generator("agree")).relu()
    found = [nearest_neighbours(rows, 20, backend) for backend in BACKENDS]
    unit = F.normalize(rows.double(), dim=1)
    similarity = unit @ unit.T
    for row, (one, other) in enumerate(zip(*found, strict=True)):
        last = similarity[row][one].min()
        for stranger in set(one.tolist()) ^ set(other.tolist()):
            assert abs(float(similarity[row, stranger] - last)) < 1e-6
    probabilities = torch.rand(3000, 10, generator=generator("predicted")).softmax(1)
    observed = torch.randint(10, (3000,), generator=generator("observed"))
    weights = [dynamic_weight(probabilities, one, observed) for one in found]
    torch.testing.assert_close(*weights, rtol=0, atol=1e-5)


PEAK = """
import re, sys, torch
from robustdd.weighting.neighbours import nearest_neighbours
def memory(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
torch.set_num_threads(1)
rows = torch.rand(1500, 16384, generator=torch.Generator().manual_seed(0))
nearest_neighbours(rows[:100], 5, sys.argv[1])
open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
before = memory("VmRSS")
nearest_neighbours(rows, 20, sys.argv[1])
print((memory("VmHWM") - before) / rows.nbytes)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux")
@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_above_the_features_is_one_copy_of_them_and_little_more(backend: str) -> None:
    """At 50,000 rows of 2,048 numbers a copy is 0.41 GB; an index, or all similarities, would be another."""
    command = (sys.executable, "-c", PEAK, backend)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.9 < float(done.stdout) < 1.6
