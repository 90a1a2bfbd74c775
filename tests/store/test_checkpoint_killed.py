"""A computation that is killed again and again ends at the same bits as one that is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WALKS = """
import json, os, pathlib, random, signal, sys, time, torch
from robustdd.store.checkpoints import Checkpoints
torch.set_num_threads(1)

def walk(folder):
    checkpoints = Checkpoints(folder, {"key": "walk"})
    draw = torch.Generator().manual_seed(5)
    step, state, losses = 0, torch.zeros(1000), []
    found = checkpoints.latest()
    if found:
        step, state, losses = found.step, found.tensors["state"], found.facts["losses"]
        draw.set_state(found.tensors["draw"])
    (folder.parent / "begins").open("a").write(f"{step} ")
    while step < 30:
        state = state * 0.9 + torch.randn(1000, generator=draw)
        step += 1
        losses = [*losses, float(state.norm())]
        if step % 2 == 0:
            checkpoints.save(step, {"state": state, "draw": draw.get_state()}, {"losses": losses})
    (folder.parent / "result").write_text(json.dumps([losses, state.tolist()]))

root, seed, kills = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
patience = random.Random(seed)
for kill in range(kills + 1):
    child = os.fork()
    if not child:
        walk(root / "checkpoints")
        os._exit(0)
    if kill < kills:
        time.sleep(patience.uniform(0.005, 0.08) * (1 + kill))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert kill < kills or status == 0
"""


def _walks(root: Path, seed: int, kills: int) -> tuple[object, list[int]]:
    """Result of a walk that is killed `kills` times, and the steps at which it began."""
    root.mkdir()
    subprocess.run([sys.executable, "-c", WALKS, root, str(seed), str(kills)], check=True)
    return json.loads((root / "result").read_text()), [int(step) for step in (root / "begins").read_text().split()]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_computation_ends_at_the_same_bits(tmp_path: Path, seed: int) -> None:
    expected, _ = _walks(tmp_path / "whole", seed, kills=0)
    result, begins = _walks(tmp_path / "killed", seed, kills=6)
    assert result == expected
    assert begins == sorted(begins) and max(begins) > 0  # no progress was lost, and some walks were resumed
