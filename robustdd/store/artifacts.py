"""Publishing artifacts so that a crash leaves the old one or the new one, and verifying them before use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from robustdd.errors import CorruptArtifact
from robustdd.store.disk import (
    TEMPORARY,
    Content,
    remove,
    rename,
    sync_folder,
    told_in_one_line,
    writable,
    write_atomically,
    write_temporary,
)
from robustdd.store.manifest import (
    JOURNAL,
    JSON,
    SCHEMA,
    SUFFIX,
    FileFacts,
    Manifest,
    canonical,
    is_file_name,
    parse_canonical,
)
from robustdd.store.verifying import digest, read_manifest, sidecar, verify

__all__ = [
    "JSON",
    "SCHEMA",
    "FileFacts",
    "Manifest",
    "digest",
    "publish",
    "read_manifest",
    "recover",
    "sidecar",
    "verify",
    "writable",
    "write_atomically",
]
_NO_FACTS = FileFacts(sha256="0" * 64, size=0)


def publish(
    folder: Path,
    name: str,
    files: Mapping[str, Content],
    *,
    task: str,
    key: str,
    params: Mapping[str, JSON],
    inputs: Mapping[str, str],
    code: str,
    notes: Mapping[str, JSON] | None = None,
) -> Manifest:
    """Put `files` and the manifest of artifact `name` into `folder`: all of them, or (after an error or crash) none.

    A file's content is bytes, or a function that writes to the path it is given (which ends as the file's name does).
    Files that the predecessor named and this one does not are removed. Everything is first written beside its place;
    the journal `NAME.manifest.json.pending` is the commit point, and `recover` can complete what follows it: renames.
    Raises RobustddError in one line when the disk is full or refuses, ValueError for what a manifest cannot hold.
    """
    bare = Manifest(task, name, key, params, inputs, code, dict.fromkeys(files, _NO_FACTS), notes or {})
    bare.to_bytes()  # refuses what JSON cannot hold before anything is written
    recover(folder, name)
    pending = sidecar(folder, name).with_name(f"{name}{SUFFIX}{JOURNAL}")
    with told_in_one_line(folder):
        manifest = _prepare(bare, pending, files)
        _roll_forward(folder, pending)
    return manifest


def _prepare(bare: Manifest, pending: Path, files: Mapping[str, Content]) -> Manifest:
    """Write everything beside its place and commit it; after a failure nothing of it is left."""
    folder, own = pending.parent, pending.name.removesuffix(JOURNAL)
    staged: dict[str, Path] = {}
    try:
        for target in files:
            _stage(folder, bare.name, target, files, staged)
        manifest = replace(bare, files={target: _facts(path) for target, path in staged.items()}).to_bytes()
        _stage(folder, bare.name, own, {own: manifest}, staged)
        _commit(pending, staged)
    except BaseException:
        remove(pending)  # first, and when this fails the rest stays: a journal without its files would be a third state
        for temporary in staged.values():
            remove(temporary)
        raise
    return Manifest.parse(manifest)


def _stage(folder: Path, name: str, target: str, files: Mapping[str, Content], staged: dict[str, Path]) -> None:
    """Write the file `target` beside its place and note it in `staged`."""
    known = [len(content) for content in files.values() if isinstance(content, bytes)]
    with told_in_one_line(folder, sum(known) if len(known) == len(files) else 0):
        folder.mkdir(parents=True, exist_ok=True)
        staged[target] = write_temporary(folder, target, files[target], name)


def _facts(path: Path) -> FileFacts:
    return FileFacts(sha256=digest(path), size=path.stat().st_size)


def _commit(pending: Path, staged: Mapping[str, Path]) -> None:
    """Write the journal that moves the `staged` files to their names; once it stands the artifact is the new one."""
    sync_folder(pending.parent)
    path = pending.with_name(pending.name.removesuffix(JOURNAL))
    doomed = sorted(_files_before(path) - set(staged))
    moves = [[temporary.name, target] for target, temporary in staged.items()]
    write_atomically(pending, canonical({"rename": moves, "remove": doomed}), path.name.removesuffix(SUFFIX))


def recover(folder: Path, name: str | None = None) -> None:
    """Complete what was committed and remove what was not, of artifact `name` or of the whole folder.

    Without a name nobody else may be publishing in the folder; with one, nobody that artifact.
    Raises CorruptArtifact when a journal was damaged.
    """
    if name is not None:
        sidecar(folder, name)
    if not folder.is_dir():
        return
    with told_in_one_line(folder):
        for pending in sorted(folder.glob(f"{name or '[!.]*'}{SUFFIX}{JOURNAL}")):
            _roll_forward(folder, pending)
        for leftover in sorted(folder.glob(f"{TEMPORARY}{name or '*'}.*")):
            remove(leftover)


def _files_before(path: Path) -> set[str]:
    try:
        return set(Manifest.parse(path.read_bytes()).files)
    except (OSError, CorruptArtifact):
        return set()


def _roll_forward(folder: Path, pending: Path) -> None:
    try:
        journal = parse_canonical(pending.read_bytes())
        renames = [(str(source), str(target)) for source, target in journal["rename"]]
        doomed = [str(name) for name in journal["remove"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(f"{pending}: is damaged; delete it, then run `dvc repro`") from error
    manifest_name = pending.name.removesuffix(JOURNAL)
    for source, target in renames:
        if "/" in source or not source.startswith(TEMPORARY) or not (is_file_name(target) or target == manifest_name):
            raise CorruptArtifact(f"{pending}: names a file that is not its own; delete it, then run `dvc repro`")
    for source, target in renames:
        if (folder / source).is_file():
            rename(folder / source, folder / target)
    for name in doomed:
        if is_file_name(name):
            remove(folder / name)
    sync_folder(folder)
    remove(pending)
    sync_folder(folder)
