"""The cluster that lives as long as a stage: one GPU a worker, that no other has and that it keeps when it dies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows import gpus
from flows.fanout import fanout_for
from robustdd.study.load import load_study
from tests.support.pipeline import CODE, changed, environment
from tests.support.studies import write_study

SCRIPT = """
import json, os, signal, sys
from flows.dask_cluster import dask_executor
from tests.flows.test_worker_pool import die_until, pinned
from pathlib import Path

with dask_executor(1, ("7", "9"), None) as first, dask_executor(2, ("7", "9"), None) as second:
    tasks = [pool.submit(pinned, 0.2) for pool in (first, second) for _ in range(2)]
    seen = [task.result(120)[0] for task in tasks]
    died = first.submit(die_until, Path(sys.argv[1]), 1).result(120)
    after = first.submit(pinned, 0).result(120)[0]
with dask_executor(2, ("7", "9"), None) as third:
    both = sorted({task.result(120)[0] for task in [third.submit(pinned, 0.5) for _ in range(4)]})
print(json.dumps([seen, died, after, both, os.environ.get("CUDA_VISIBLE_DEVICES")]))
"""


def test_each_worker_has_a_gpu_that_no_other_cluster_has_and_keeps_it_when_it_dies(tmp_path: Path) -> None:
    """Two pretended GPUs; the second cluster is asked for two workers and finds one GPU free."""
    (tmp_path / "marks").mkdir()
    env = environment(tmp_path / "home", TMPDIR=str(tmp_path))
    env.pop("SLURM_JOB_ID", None)
    command = (sys.executable, "-c", SCRIPT, str(tmp_path / "marks"))
    done = subprocess.run(command, cwd=CODE, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0 and "already in use" not in done.stderr, done.stderr
    seen, died, after, both, own = json.loads(done.stdout)
    assert seen == ["7", "7", "9", "9"] and (died, after) == ("alive after 1", "7")
    assert both == ["7", "9"], "what the first two held is free again"
    assert own is None, "the stage itself sees what it saw"


@pytest.mark.parametrize(("runner", "taken"), [("processes", ("7", "9")), ("dask", ("7", "9")), ("threads", ())])
def test_a_runner_takes_the_gpus_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str, taken: tuple[str, ...]
) -> None:
    monkeypatch.setenv(gpus.OURS, "to be put back as it was")
    monkeypatch.delenv(gpus.OURS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,9")
    study = load_study(write_study(tmp_path / "gpu", changed("device", to="cuda")))
    fanout = fanout_for(study, "tasks.stages.images", runner)
    assert fanout.gpus == taken and (not taken or fanout.workers == 2)
    far = fanout_for(study, "tasks.stages.images", "dask", address="tcp://10.0.0.1:8786")
    assert far.gpus == (), "the workers of a cluster that runs already have theirs"
    on_cpu = load_study(write_study(tmp_path / "cpu", changed("device", to="cpu")))
    assert fanout_for(on_cpu, "tasks.stages.images", runner).gpus == ()
