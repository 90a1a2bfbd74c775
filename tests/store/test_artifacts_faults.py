"""Publishing while the disk fails or the process is killed: at every write, fsync, rename and removal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from robustdd.errors import CorruptArtifact
from robustdd.store import disk
from robustdd.store.artifacts import publish, recover, verify
from tests.store.test_artifacts import FIELDS, NEW, OLD, content, names

ARE_NEW = {"a.bin": b"new a", "b.bin": b"new b" * 100, "c.bin": b"new only"}


class FailingDisk:
    """Fails at the n-th operation; `dead`: at all that follow too, and what was written and not synced is lost."""

    def __init__(self, at: int, dead: bool) -> None:
        self.at, self.dead, self.count = at, dead, 0
        self.unsynced: set[Path] = set()

    def __call__(self, operation: str, path: Path) -> None:
        self.count += 1
        if self.count == self.at or (self.dead and self.count > self.at):
            raise InterruptedError(f"{operation} {path}")
        if operation == "write":
            self.unsynced.add(path)
        if operation == "fsync":
            self.unsynced.discard(path)

    def lose_power(self) -> None:
        for path in self.unsynced:
            if self.dead and path.exists():
                os.truncate(path, 0)


@pytest.mark.parametrize("dead", [False, True], ids=["error", "power cut"])
def test_a_failure_at_any_operation_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: bool
) -> None:
    seen = []
    for at in range(1, 200):
        folder = tmp_path / str(at)
        publish(folder, "labels", OLD, **FIELDS)
        failing = FailingDisk(at, dead)
        with monkeypatch.context() as patched:
            patched.setattr(disk, "point", failing)
            try:
                publish(folder, "labels", NEW, **FIELDS)
            except InterruptedError:
                failing.lose_power()
        committed = (folder / "labels.manifest.json.pending").exists()
        if not committed and failing.count >= at:
            content(folder)  # verifies even before anyone recovers
        recover(folder)
        found = content(folder)
        assert found in (OLD, ARE_NEW)
        assert names(folder) == sorted([*found, "labels.manifest.json"])
        seen.append(found == ARE_NEW)
        if failing.count < at:
            break
    else:
        pytest.fail("publishing never came to an end")
    assert len(seen) > 15 and seen == sorted(seen)  # old up to the commit point, new from there on


@pytest.mark.parametrize("dead", [False, True], ids=["error", "power cut"])
def test_a_failure_while_recovering_is_recovered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: bool
) -> None:
    for at in range(1, 100):
        folder = tmp_path / str(at)
        publish(folder, "labels", OLD, **FIELDS)
        _cut_after_commit(folder, monkeypatch)
        failing = FailingDisk(at, dead)
        with monkeypatch.context() as patched:
            patched.setattr(disk, "point", failing)
            try:
                recover(folder)
            except InterruptedError:
                failing.lose_power()
        recover(folder)
        assert content(folder) == ARE_NEW and names(folder) == sorted([*ARE_NEW, "labels.manifest.json"])
        if failing.count < at:
            return
    pytest.fail("recovering never came to an end")


def _cut_after_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish NEW and cut the power as soon as the journal stands."""

    def cut(operation: str, path: Path) -> None:
        if operation != "fsync" and (folder / "labels.manifest.json.pending").exists():
            raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(disk, "point", cut)
        with pytest.raises(InterruptedError):
            publish(folder, "labels", NEW, **FIELDS)
    assert (folder / "labels.manifest.json.pending").exists()


def test_publishing_again_needs_no_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cut_after_commit(tmp_path, monkeypatch)
    publish(tmp_path, "labels", OLD, **FIELDS)
    assert content(tmp_path) == OLD and names(tmp_path) == sorted([*OLD, "labels.manifest.json"])


def test_recovering_one_artifact_leaves_another_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cut_after_commit(tmp_path, monkeypatch)
    before = names(tmp_path)
    recover(tmp_path, "label")
    recover(tmp_path, "labels-2")
    assert names(tmp_path) == before
    recover(tmp_path, "labels")
    assert content(tmp_path) == ARE_NEW
    recover(tmp_path / "absent")


@pytest.mark.parametrize(
    "journal",
    [b"", b"{}\n", b'{\n  "remove": [],\n  "rename": 3\n}\n', b'{\n  "remove": [],\n  "rename": [\n    1\n  ]\n}\n'],
)
def test_a_damaged_journal_is_told(tmp_path: Path, journal: bytes) -> None:
    publish(tmp_path, "labels", OLD, **FIELDS)
    (tmp_path / "labels.manifest.json.pending").write_bytes(journal)
    with pytest.raises(CorruptArtifact, match=r"pending: is damaged; delete it"):
        recover(tmp_path)
    assert content(tmp_path) == OLD


@pytest.mark.parametrize(
    "move", [["../outside", "a.bin"], [".tmp.x", "../a.bin"], [".tmp./../a", "b"], ["a.bin", "b.bin"]]
)
def test_a_journal_moves_nothing_of_others(tmp_path: Path, move: list[str]) -> None:
    from robustdd.store.manifest import canonical

    (tmp_path / "labels.manifest.json.pending").write_bytes(canonical({"rename": [move], "remove": ["../x"]}))
    with pytest.raises(CorruptArtifact, match="names a file that is not its own"):
        recover(tmp_path)


KILLED = """
import os, pathlib, signal, sys
from robustdd.store import disk
from robustdd.store.artifacts import publish
from tests.store.test_artifacts import FIELDS, NEW
count = 0
def kill(operation, path):
    global count
    count += 1
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
disk.point = kill
publish(pathlib.Path(sys.argv[1]), "labels", NEW, **FIELDS)
"""


@pytest.mark.parametrize("at", [4, 11, 14, 17])
def test_a_killed_process_leaves_the_old_or_the_new(tmp_path: Path, at: int) -> None:
    publish(tmp_path, "labels", OLD, **FIELDS)
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path, str(at)], check=False)
    assert killed.returncode == -signal.SIGKILL
    recover(tmp_path)
    assert content(tmp_path) in (OLD, ARE_NEW) and verify(tmp_path, "labels")
    assert names(tmp_path) == sorted([*content(tmp_path), "labels.manifest.json"])
