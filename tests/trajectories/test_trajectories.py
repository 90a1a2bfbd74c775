from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from robustdd.errors import CorruptArtifact, Diverged, UserError
from robustdd.rng import generator
from robustdd.trajectories.files import Trajectories

SNAPSHOTS = torch.randn(2, 6, 5, generator=generator("snapshots"))
TARGETS = torch.randn(2, 3, 5, generator=generator("targets"))


@pytest.fixture
def files(tmp_path):
    teachers, cleans = [], []
    for teacher in range(2):
        teachers.append(tmp_path / f"teacher-{teacher:03}.safetensors")
        save_file({"snapshots": SNAPSHOTS[teacher].clone()}, teachers[-1])
        cleans.append(tmp_path / f"clean-target-{teacher:03}.safetensors")
        save_file({"targets": TARGETS[teacher].clone(), "starts": torch.tensor([2, 0, 1])}, cleans[-1])
    return teachers, cleans


def test_snapshots_and_clean_targets_are_the_rows_asked_for(files):
    trajectories = Trajectories.from_files(*files)
    assert (trajectories.num_teachers, trajectories.num_snapshots, trajectories.num_parameters) == (2, 6, 5)
    start, target, clean = trajectories.triple(1, 2, 3)
    assert clean is not None
    assert torch.equal(start, SNAPSHOTS[1, 2])
    assert torch.equal(target, SNAPSHOTS[1, 5])
    assert torch.equal(clean, TARGETS[1, 0])
    assert torch.equal(trajectories.finals(), SNAPSHOTS[:, -1])
    assert trajectories.plain().triple(0, 0, 1)[2] is None


def test_only_the_rows_asked_for_are_read(files, monkeypatch):
    def refuse(*_):
        raise AssertionError("the whole tensor was read")

    class Slices:
        def __init__(self, file):
            self.file, self.get_slice, self.get_tensor = file, file.get_slice, refuse

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.__exit__(None, None, None)

    from robustdd.trajectories import files as trajectories

    opened = trajectories.safe_open
    monkeypatch.setattr(trajectories, "safe_open", lambda *args, **kwargs: Slices(opened(*args, **kwargs).__enter__()))
    start, _, _ = Trajectories.from_files(*files).triple(0, 1, 1)
    assert start.untyped_storage().nbytes() == 5 * 4


def test_missing_epochs_are_told_in_one_line(files):
    trajectories = Trajectories.from_files(*files)
    with pytest.raises(UserError, match=r"start epoch 4 with target epoch 6 is outside 0\.\.5"):
        trajectories.triple(0, 4, 2)
    with pytest.raises(UserError, match="no clean target for start epoch 3: widen"):
        trajectories.triple(0, 3, 1)
    with pytest.raises(UserError, match="no clean target for start epoch 3"):
        trajectories.require(range(4), 1, clean=True)
    with pytest.raises(UserError, match="no clean targets, which aux_share above 0 needs"):
        trajectories.plain().require(range(1), 1, clean=True)
    trajectories.plain().require(range(5), 1, clean=False)


def test_files_that_do_not_fit_are_refused(files, tmp_path):
    teachers, cleans = files
    with pytest.raises(UserError, match="2 teacher files with 1 clean files"):
        Trajectories.from_files(teachers, cleans[:1])
    with pytest.raises(UserError, match="0 teacher files"):
        Trajectories.from_files([])
    other = tmp_path / "other.safetensors"
    save_file({"snapshots": torch.zeros(4, 5)}, other)
    with pytest.raises(UserError, match=r"other.safetensors: snapshots \[4, 5\]"):
        Trajectories.from_files([*teachers, other])
    save_file({"targets": torch.zeros(3, 4), "starts": torch.zeros(3, dtype=torch.int64)}, other)
    with pytest.raises(UserError, match=r"targets \[3, 4\] with starts \[3\]"):
        Trajectories.from_files(teachers[:1], [other])


def test_unreadable_files_are_corrupt(files, tmp_path):
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(files[0][0].read_bytes()[:-4])
    for path in (torn, tmp_path / "absent.safetensors", files[1][0]):
        with pytest.raises(CorruptArtifact, match=r"'snapshots' cannot be read"):
            Trajectories.from_files([path])


def test_a_snapshot_that_is_not_finite_is_refused(tmp_path):
    path = tmp_path / "teacher.safetensors"
    snapshots = SNAPSHOTS[0].clone()
    snapshots[3, 2] = float("nan")
    save_file({"snapshots": snapshots}, path)
    trajectories = Trajectories.from_files([path])
    trajectories.triple(0, 1, 1)
    with pytest.raises(Diverged, match="row 3 of snapshots is not finite"):
        trajectories.triple(0, 1, 2)
