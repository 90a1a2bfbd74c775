"""Verifying artifacts: the bytes of every file are those that the manifest names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from robustdd.errors import CorruptArtifact
from robustdd.store.manifest import LIMIT, SUFFIX, Manifest, is_name

_REMEDY = "delete it and run `dvc repro`, or fetch it again with `dvc pull`"


def digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sidecar(folder: Path, name: str) -> Path:
    """Where the manifest of artifact `name` lies. Raises CorruptArtifact for a name that no artifact can have."""
    if not is_name(name):
        raise CorruptArtifact(f"{name!r} is no name of an artifact; expected a-z, 0-9 and '-', at most 61")
    return folder / f"{name}{SUFFIX}"


def read_manifest(folder: Path, name: str) -> Manifest:
    """The manifest of artifact `name`, its files unread. Raises CorruptArtifact."""
    path = sidecar(folder, name)
    manifest = Manifest.parse(_inside(folder, path, LIMIT).read_bytes(), str(path))
    if manifest.name != name:
        raise CorruptArtifact(f"{path}: belongs to {manifest.name!r}; {_REMEDY}")
    return manifest


def verify(folder: Path, name: str, hash_of: Callable[[Path], str] = digest) -> Manifest:
    """Check every file of artifact `name` against its manifest and return that.

    `hash_of` may remember digests of files it has seen. Raises CorruptArtifact naming the first wrong file: missing,
    another size or sha256, or a link out of the folder.
    """
    manifest = read_manifest(folder, name)
    for file_name, facts in manifest.files.items():
        path = _inside(folder, folder / file_name)
        if path.stat().st_size != facts["size"] or hash_of(path) != facts["sha256"]:
            raise CorruptArtifact(f"{path}: sha256 does not match its manifest; {_REMEDY}")
    return manifest


def _inside(folder: Path, path: Path, limit: int | None = None) -> Path:
    """`path`, when it is a regular file (a pipe would never end) inside `folder`, of at most `limit` bytes."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CorruptArtifact(f"{path}: is a link that leaves its folder; replace it by the file itself")
    if not path.is_file():
        raise CorruptArtifact(f"{path}: is missing; {_REMEDY}")
    if limit is not None and path.stat().st_size > limit:
        raise CorruptArtifact(f"{path}: is too large for a manifest; {_REMEDY}")
    return path
