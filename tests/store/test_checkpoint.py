"""Checkpoints: whatever happens to the newest, the computation goes on from a whole one, to the same bits."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustdd.errors import RobustddError
from robustdd.store import disk
from robustdd.store.checkpoints import Checkpoints
from robustdd.store.manifest import JSON
from tests.store.disks import tiny_disk
from tests.store.test_artifacts_faults import FailingDisk

BINDING = {"key": "k1", "device": "cpu", "threads": "1", "torch": "2.13"}
FILES = ("tensors.safetensors", "facts.json", "digests.json")


def filled(folder: Path, *steps: int, binding: dict[str, str] = BINDING) -> Checkpoints:
    """Checkpoints after these steps; each holds its own step."""
    checkpoints = Checkpoints(folder, binding)
    for step in steps:
        checkpoints.save(step, {"step": torch.tensor(step)}, {"step": step})
    return checkpoints


def latest_step(checkpoints: Checkpoints) -> int:
    found = checkpoints.latest()
    if found is None:
        return 0
    assert found.facts == {"step": found.step} and int(found.tensors["step"]) == found.step
    return found.step


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    base = torch.arange(6, dtype=torch.float64)
    state = torch.Generator().manual_seed(3).get_state()
    tensors = {"whole": base, "part": base[:3], "turned": base.view(2, 3).T, "scalar": torch.tensor(0.1), "rng": state}
    tensors |= {"labels": torch.tensor([2, 1]), "mask": torch.tensor([True]), "none": torch.empty(0, 4)}
    tensors |= {"learned": torch.nn.Parameter(torch.tensor([float("nan"), 1e-45, -0.0]))}
    facts: dict[str, JSON] = {"losses": (0.1, 1e-300), "name": "é", "nested": {"a": [None, True]}}
    checkpoints = Checkpoints(tmp_path / "new" / "folder", BINDING)
    assert checkpoints.latest() is None
    checkpoints.save(7, tensors, facts)
    base.zero_()
    found = checkpoints.latest()
    assert found is not None and found.step == 7 and set(found.tensors) == set(tensors)
    assert found.facts == {"losses": [0.1, 1e-300], "name": "é", "nested": {"a": [None, True]}}
    assert found.tensors["whole"].tolist() == [0, 1, 2, 3, 4, 5] and found.tensors["turned"].shape == (3, 2)
    assert found.tensors["learned"].view(torch.int32).equal(tensors["learned"].detach().view(torch.int32))
    for name in ("scalar", "rng", "labels", "mask", "none"):
        assert found.tensors[name].equal(tensors[name]) and found.tensors[name].dtype == tensors[name].dtype


def test_saving_disturbs_no_generator(tmp_path: Path) -> None:
    before = torch.random.get_rng_state(), random.getstate()
    filled(tmp_path, 1, 2, 3).latest()
    assert before[0].equal(torch.random.get_rng_state()) and before[1] == random.getstate()


def test_the_last_two_are_kept_and_cleared(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path / "c", 9, 10, 11, 1_000_000)
    assert names(tmp_path / "c") == ["step-000011", "step-1000000"]
    assert latest_step(checkpoints) == 1_000_000
    checkpoints.clear()
    checkpoints.clear()
    assert checkpoints.latest() is None and names(tmp_path) == []


def test_the_order_is_that_of_steps_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = filled(tmp_path, 5)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    filled(tmp_path, 6)
    os.utime(tmp_path / "step-000006", (0, 0))
    assert latest_step(checkpoints) == 6
    filled(tmp_path, 7)
    assert names(tmp_path) == ["step-000006", "step-000007"]


def _flip(path: Path, where: int) -> None:
    data = bytearray(path.read_bytes())
    data[where % len(data)] ^= 1 << where % 8
    path.write_bytes(data)


def _link(path: Path, _: int) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGE: dict[str, Callable[[Path, int], object]] = {
    "flip": _flip,
    "truncate": lambda path, where: os.truncate(path, where % path.stat().st_size),
    "zero": lambda path, _: path.write_bytes(b"\0" * path.stat().st_size),
    "delete": lambda path, _: path.unlink(),
    "swap": lambda path, _: path.write_bytes((path.parent / FILES[FILES.index(path.name) - 1]).read_bytes()),
    "previous": lambda path, _: shutil.copy(path.parents[1] / "step-000005" / path.name, path),
    "link": _link,
}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.sampled_from(sorted(DAMAGE)), st.integers(0, 10_000))
def test_damage_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, damage: str, where: int
) -> None:
    shutil.rmtree(tmp_path)
    checkpoints = filled(tmp_path, 5, 6)
    DAMAGE[damage](tmp_path / "step-000006" / file, where)
    caplog.clear()
    assert latest_step(checkpoints) == 5
    (message,) = caplog.messages
    assert "step-000006 is damaged" in message and message.isprintable()
    filled(tmp_path, 6)
    assert latest_step(checkpoints) == 6 and names(tmp_path) == ["step-000005", "step-000006"]


def test_nothing_whole_is_a_fresh_start(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 5, 6)
    for path in tmp_path.glob("*/facts.json"):
        path.unlink()
    assert checkpoints.latest() is None
    assert latest_step(filled(tmp_path, 7)) == 7 and names(tmp_path) == ["step-000007"]


def test_a_renamed_generation_is_damaged(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    (tmp_path / "step-000005").rename(tmp_path / "step-000009")
    assert filled(tmp_path).latest() is None


def test_another_binding_is_ignored_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, 100, 200)
    other = Checkpoints(tmp_path, {**BINDING, "threads": "2", "faiss": "1.15"})
    assert other.latest() is None
    (message,) = caplog.messages
    assert message.endswith("are not used: threads was 1, is 2; faiss was None, is 1.15")
    assert latest_step(filled(tmp_path, 300)) == 300


def test_a_new_binding_replaces_the_old_from_its_first_save(tmp_path: Path) -> None:
    filled(tmp_path, 100, 200)
    other = filled(tmp_path, 10, binding={**BINDING, "key": "k2"})
    assert latest_step(other) == 10 and names(tmp_path) == ["step-000010"]
    filled(tmp_path, 20, binding={**BINDING, "key": "k2"})
    assert names(tmp_path) == ["step-000010", "step-000020"]
    filled(tmp_path, 20)
    assert latest_step(filled(tmp_path)) == 20 and names(tmp_path) == ["step-000020"]


@pytest.mark.parametrize("dead", [False, True], ids=["error", "power cut"])
@pytest.mark.parametrize("step", [6, 7], ids=["the same step again", "next step"])
def test_a_failure_at_any_operation_leaves_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: bool, step: int
) -> None:
    for at in range(1, 60):
        folder = tmp_path / str(at)
        checkpoints = filled(folder, 5, 6)
        failing = FailingDisk(at, dead)
        with monkeypatch.context() as patched:
            patched.setattr(disk, "point", failing)
            try:
                filled(folder, step)
            except InterruptedError:
                failing.lose_power()
        assert latest_step(checkpoints) in (5, 6, step) and (step == 6 or latest_step(checkpoints) >= 6)
        filled(folder, 8)
        assert latest_step(checkpoints) == 8 and len(names(folder)) == 2
        if failing.count < at:
            return
    pytest.fail("saving never came to an end")


def test_a_full_disk_leaves_the_older_ones(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "tiny") as folder:
        checkpoints = filled(folder, 5, 6)
        with pytest.raises(RobustddError, match=r"^No space left on device: needs ~4\.0 MB in .*tiny"):
            checkpoints.save(7, {"large": torch.zeros(1_000_000)}, {})
        assert names(folder) == ["step-000005", "step-000006"] and latest_step(checkpoints) == 6


def test_facts_that_could_not_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nan cannot be kept"):
        Checkpoints(tmp_path, BINDING).save(1, {}, {"loss": float("nan")})
    with pytest.raises(ValueError, match="too many"):
        Checkpoints(tmp_path, BINDING).save(1, {}, {"text": "x" * 17 * 2**20})
    assert names(tmp_path) == []


def with_pieces(checkpoints: Checkpoints, step: int) -> None:
    """A checkpoint that grows by one piece a step."""
    pieces = {f"piece-{one}": torch.full((1000,), float(one)) for one in range(step)}
    checkpoints.save(step, {"step": torch.tensor(step)}, {"step": step}, pieces)


def piece(folder: Path, step: int, one: int) -> Path:
    return folder / f"step-{step:06d}" / f"piece-{one}.lasting.safetensors"


def test_what_lasts_is_written_once_and_comes_back_with_the_rest(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, BINDING)
    for step in (1, 2, 3):
        with_pieces(checkpoints, step)
    assert [piece(tmp_path, step, 0).stat().st_ino for step in (2, 3)] == [piece(tmp_path, 3, 0).stat().st_ino] * 2
    found = checkpoints.latest()
    assert found is not None and set(found.tensors) == {"step", "piece-0", "piece-1", "piece-2"}
    assert all(torch.equal(found.tensors[f"piece-{one}"], torch.full((1000,), float(one))) for one in range(3))


def test_a_piece_that_is_another_now_or_of_another_binding_is_written_anew(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, BINDING)
    with_pieces(checkpoints, 2)
    checkpoints.save(3, {}, {}, {"piece-0": torch.ones(1000), "piece-1": torch.ones(1000)})
    inodes = [[piece(tmp_path, step, one).stat().st_ino for step in (2, 3)] for one in (0, 1)]
    assert inodes[0][0] != inodes[0][1] and inodes[1][0] == inodes[1][1]
    found = checkpoints.latest()
    assert found is not None and torch.equal(found.tensors["piece-0"], torch.ones(1000))
    with_pieces(Checkpoints(tmp_path / "other", BINDING), 1)
    with_pieces(Checkpoints(tmp_path / "other", {**BINDING, "key": "k2"}), 2)
    assert piece(tmp_path / "other", 2, 0).stat().st_nlink == 1


def test_a_disk_without_second_names_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    checkpoints = Checkpoints(tmp_path, BINDING)
    for step in (1, 2):
        with_pieces(checkpoints, step)
    found = checkpoints.latest()
    assert found is not None and found.step == 2 and piece(tmp_path, 2, 0).stat().st_nlink == 1


def test_a_damaged_piece_is_noticed_and_not_taken_over(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, BINDING)
    with_pieces(checkpoints, 1)
    with_pieces(checkpoints, 2)
    content = bytearray(piece(tmp_path, 2, 1).read_bytes())
    content[-1] ^= 1
    piece(tmp_path, 2, 1).write_bytes(bytes(content))
    found = checkpoints.latest()
    assert found is not None and found.step == 1
    with_pieces(checkpoints, 2)
    found = checkpoints.latest()
    assert found is not None and found.step == 2
