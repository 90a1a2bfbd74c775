"""How many tasks run at once where nobody says it: their threads together are the cores that this process may use."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from flows.fanout import fanout_for
from robustdd.study.load import load_study
from tests.support.pipeline import CODE


@pytest.mark.parametrize(("cores", "threads", "workers"), [(8, 1, 8), (8, 3, 2), (2, 4, 1)])
def test_workers_times_threads_are_the_cores_of_this_process(
    cores: int, threads: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)  # the machine's; a batch job got some of them
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    study = replace(load_study(CODE), threads=threads)
    assert fanout_for(study, "tasks.stages.teachers").workers == workers
    assert fanout_for(study, "tasks.stages.teachers", "processes").workers == workers
    assert fanout_for(study, "tasks.stages.teachers", "processes", 5).workers == 5


def test_a_system_that_cannot_tell_counts_the_cores_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert fanout_for(replace(load_study(CODE), threads=2), "tasks.stages.teachers").workers == 3


@pytest.mark.parametrize(("device", "runner"), [("cpu", "threads"), ("cuda", "processes")])
def test_without_a_flag_a_gpu_has_processes(device: str, runner: str) -> None:
    study = replace(load_study(CODE), device=device)
    assert fanout_for(study, "tasks.stages.images").runner == runner
    assert fanout_for(study, "tasks.stages.images", "threads").runner == "threads"
