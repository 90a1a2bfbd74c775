"""Publishing: the old artifact or the new one after any failure, and no changed byte passes verification."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustdd.errors import CorruptArtifact
from robustdd.store import disk
from robustdd.store.artifacts import digest, publish, read_manifest, recover, sidecar, verify, write_atomically

CODE = "0" * 64
FIELDS: dict[str, Any] = {"task": "labels.corrupt", "key": "k", "params": {"rate": 0.4, "seeds": (0, 1)}}
FIELDS |= {"inputs": {"images/images.safetensors": "1" * 64}, "code": CODE}
OLD = {"a.bin": b"old a" * 100, "b.bin": b"old b", "gone.bin": b"old only"}
NEW: dict[str, Any] = {"a.bin": b"new a", "b.bin": lambda path: path.write_bytes(b"new b" * 100), "c.bin": b"new only"}
IO = {HealthCheck.function_scoped_fixture}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path, name: str = "labels") -> dict[str, bytes]:
    """Bytes of a verified artifact by file."""
    return {file: (folder / file).read_bytes() for file in verify(folder, name).files}


def test_what_is_published_verifies(tmp_path: Path) -> None:
    made = publish(tmp_path, "labels", NEW, **FIELDS, notes={"realised_rate": 0.41})
    assert verify(tmp_path, "labels") == made == read_manifest(tmp_path, "labels")
    assert made.files["a.bin"] == {"sha256": digest(tmp_path / "a.bin"), "size": 5}
    assert made.params == {"rate": 0.4, "seeds": [0, 1]}
    assert names(tmp_path) == ["a.bin", "b.bin", "c.bin", "labels.manifest.json"]


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    publish(tmp_path / "one", "labels", NEW, **FIELDS)
    shuffled = {key: FIELDS[key] for key in reversed(FIELDS)}
    publish(tmp_path / "two", "labels", dict(reversed(NEW.items())), **shuffled)
    one, two = ((tmp_path / place / "labels.manifest.json").read_bytes() for place in ("one", "two"))
    assert one == two and one.endswith(b"}\n")
    assert list(json.loads(one)) == sorted(json.loads(one))


def test_files_of_the_predecessor_go_and_those_of_neighbours_stay(tmp_path: Path) -> None:
    publish(tmp_path, "labels", OLD, **FIELDS)
    publish(tmp_path, "labels-2", {"d.bin": b"d"}, **FIELDS)
    publish(tmp_path, "labels", NEW, **FIELDS)
    assert names(tmp_path) == ["a.bin", "b.bin", "c.bin", "d.bin", "labels-2.manifest.json", "labels.manifest.json"]
    assert content(tmp_path, "labels-2") == {"d.bin": b"d"}


def test_published_files_obey_the_umask(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torch import zeros

    before = os.umask(0o027)
    try:
        publish(tmp_path, "x", {"a.safetensors": lambda path: save_file({"a": zeros(2)}, path), "b.bin": b""}, **FIELDS)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "x.manifest.json", "x.pending", "a\n", "a" * 200])
def test_file_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        publish(tmp_path, "labels", {name: b""}, **FIELDS)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "A", "", "a" * 62, "x\n", "a.b"])
def test_artifact_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    for read in (sidecar, read_manifest, verify, recover):
        with pytest.raises(CorruptArtifact, match="is no name of an artifact"):
            read(tmp_path, name)
    with pytest.raises(ValueError, match="must match"):
        publish(tmp_path, name, OLD, **FIELDS)


@pytest.mark.parametrize(
    "change", [{"params": {"a": float("nan")}}, {"code": "x"}, {"key": ""}, {"inputs": {"a": "b"}}]
)
def test_a_manifest_that_could_not_be_read_is_not_written(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"nan|must"):
        publish(tmp_path, "labels", OLD, **{**FIELDS, **change})
    with pytest.raises(TypeError, match="cannot be kept"):
        publish(tmp_path, "labels", OLD, **FIELDS, notes={"path": tmp_path})  # type: ignore[dict-item]
    assert names(tmp_path) == []


def _flip(path: Path, where: int) -> None:
    data = bytearray(path.read_bytes())
    data[where % len(data)] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path, int], object]] = {
    "flip": _flip,
    "truncate": lambda path, where: os.truncate(path, where % path.stat().st_size),
    "zero": lambda path, _: path.write_bytes(b"\0" * path.stat().st_size),
    "delete": lambda path, _: path.unlink(),
    "longer": lambda path, _: path.write_bytes(path.read_bytes() + b"\n"),
    "swap": lambda path, _: path.write_bytes(b"old b" if path.read_bytes() != b"old b" else b"old only"),
}


@settings(max_examples=60, deadline=None, suppress_health_check=IO)
@given(st.sampled_from([*OLD, "labels.manifest.json"]), st.sampled_from(sorted(DAMAGE)), st.integers(0, 10_000))
def test_no_damage_passes(tmp_path: Path, file: str, damage: str, where: int) -> None:
    publish(tmp_path, "labels", OLD, **FIELDS)
    DAMAGE[damage](tmp_path / file, where)
    with pytest.raises(CorruptArtifact) as caught:
        verify(tmp_path, "labels")
    line = str(caught.value)
    assert line.startswith(str(tmp_path / file)) and line.isprintable() and ";" in line
    assert (
        "is missing" if damage == "delete" else "sha256 does not match" if file in OLD else "not a manifest"
    ) in line


def test_a_manifest_under_another_name_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, "labels", OLD, **FIELDS)
    (tmp_path / "labels.manifest.json").rename(tmp_path / "other.manifest.json")
    with pytest.raises(CorruptArtifact, match="belongs to 'labels'"):
        verify(tmp_path, "other")


@pytest.mark.parametrize("file", ["b.bin", "labels.manifest.json"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "in"
    publish(folder, "labels", OLD, **FIELDS)
    (folder / file).rename(tmp_path / file)
    (folder / file).symlink_to(tmp_path / file)
    with pytest.raises(CorruptArtifact, match="link that leaves its folder"):
        verify(folder, "labels")


@pytest.mark.timeout(10)
def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    publish(tmp_path, "labels", OLD, **FIELDS)
    for file in ("b.bin", "labels.manifest.json"):
        (tmp_path / file).unlink()
        os.mkfifo(tmp_path / file)
        with pytest.raises(CorruptArtifact, match="is missing"):
            verify(tmp_path, "labels")


def test_digests_may_be_remembered(tmp_path: Path) -> None:
    made = publish(tmp_path, "labels", OLD, **FIELDS)
    known = {tmp_path / file: facts["sha256"] for file, facts in made.files.items()}
    assert verify(tmp_path, "labels", known.__getitem__) == made


def test_write_atomically_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "x.json"
    write_atomically(path, b"1")
    write_atomically(path, b"2")
    assert (names(path.parent), path.read_bytes()) == (["x.json"], b"2")
    monkeypatch.setattr(disk, "rename", lambda *_: (_ for _ in ()).throw(InterruptedError))
    with pytest.raises(InterruptedError):
        write_atomically(path, b"3")
    assert (names(path.parent), path.read_bytes()) == (["x.json"], b"2")
