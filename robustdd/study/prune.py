"""What of a study's files no study needs any more: found first, removed only when asked to."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustdd.errors import CorruptArtifact, UserError
from robustdd.params import Study
from robustdd.store.binding import bound_to
from robustdd.store.disk import remove, told_in_one_line
from robustdd.store.locking import only_writer
from robustdd.store.manifest import is_name, parse_canonical
from robustdd.store.paths import Layout
from robustdd.store.verifying import read_manifest
from robustdd.study.graph import STAGES
from robustdd.study.load import load_study

Ids = Mapping[str, set[str]]
"""Ids in use by the name of their stage."""


@dataclass(frozen=True)
class Needless:
    """A file or folder that can go: what it is, and the bytes that this frees."""

    path: Path
    stage: str
    ident: str
    why: str
    size: int


def needless(folder: Path) -> list[Needless]:
    """Everything under the study `folder` that no study needs, the largest first; nothing is touched.

    An id is in use when any params.yaml of the code's root or of its studies/ names it for that stage: artifacts are
    lent from study to study. Of an id in use nothing but a checkpoint goes, and that only when its task is finished or
    is no more. Raises UserError when any of these params.yaml cannot be read: what it names is then not known.
    """
    study, layout = load_study(folder), Layout(folder)
    used = _used(study, folder)
    found = [*_artifacts(layout, used), *_records(layout, used), *_checkpoints(layout, used, study)]
    return sorted(found, key=lambda one: (-one.size, one.path))


def free(folder: Path, items: Sequence[Needless]) -> int:
    """Remove what `needless` found, each under the lock of its stage, and return the bytes that were freed.

    What became needed meanwhile stays. Raises RobustddError in one line when a stage is running or the disk refuses;
    what was removed before stays removed.
    """
    layout, freed = Layout(folder), 0
    for item in items:
        with told_in_one_line(folder), only_writer(layout.lock(item.stage, item.ident)):
            if item.path in {one.path for one in needless(folder)}:
                _remove(item.path)
                freed += item.size
    return freed


def _remove(path: Path) -> None:
    with told_in_one_line(path.parent):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            remove(path)


def _used(study: Study, folder: Path) -> Ids:
    root = (folder / study.root).resolve()
    if not (root / "params.yaml").is_file():
        raise UserError(
            f"{folder / 'params.yaml'}: root: {study.root} holds no params.yaml; the other studies are not "
            "known, so nothing is known to be needless"
        )
    paths = [root / "params.yaml", *sorted(root.glob("studies/*/params.yaml"))]
    studies = [study, *(load_study(path.parent) for path in paths)]
    return {name: {ident for one in studies for ident in stage.ids(one)} for name, stage in STAGES.items()}


def _artifacts(layout: Layout, used: Ids) -> Iterator[Needless]:
    for stage in used:
        for parent in (layout.artifact(stage, ""), layout.made(layout.place(stage, ""))):
            for path in _folders(parent):
                if path.name not in used[stage]:
                    yield _item(path, stage, path.name, "no study names it")


def _records(layout: Layout, used: Ids) -> Iterator[Needless]:
    for stage in used:
        for path in sorted((layout.runs() / stage).glob("*.run.json")):
            ident = path.name.removesuffix(".run.json")
            if is_name(ident) and ident not in used[stage]:
                yield _item(path, stage, ident, "the record of a run that no study names")


def _checkpoints(layout: Layout, used: Ids, study: Study) -> Iterator[Needless]:
    for stage in used:
        resumed = STAGES[stage].resumed
        units = None if resumed is None else resumed(study)
        for place in _folders(layout.checkpoints(layout.place(stage, ""), "")):
            for path in _folders(place):
                why = _why_not(layout.artifact(stage, place.name), path, used[stage], units)
                if why:
                    yield _item(path, stage, place.name, why)


def _why_not(artifact: Path, checkpoints: Path, used: set[str], units: Collection[str] | None) -> str | None:
    if artifact.name not in used:
        return "checkpoints of what no study names"
    if units is not None and checkpoints.name not in units:
        return "checkpoints of a task that is no more"
    return "checkpoints of a finished task" if _is_finished(artifact, checkpoints) else None


def _is_finished(artifact: Path, checkpoints: Path) -> bool:
    """Whether the artifact is what the checkpoints would have led to, and not one of other params or code."""
    try:
        manifest = read_manifest(artifact, checkpoints.name)
        newest = max(checkpoints.glob("step-*/facts.json"), key=lambda path: (len(path.parent.name), path))
        binding = parse_canonical(newest.read_bytes())["binding"]
    except (CorruptArtifact, OSError, ValueError, KeyError):
        return False
    bound = bound_to(manifest.params, manifest.inputs, manifest.code)
    return all(binding.get(name) == value for name, value in bound.items())


def _folders(parent: Path) -> list[Path]:
    """Folders of ids in `parent`: no link, nothing that is named otherwise."""
    found = parent.iterdir() if parent.is_dir() else ()
    return sorted(path for path in found if path.is_dir() and not path.is_symlink() and is_name(path.name))


def _item(path: Path, stage: str, ident: str, why: str) -> Needless:
    parts: list[Any] = [path] if path.is_file() else [one for one in path.rglob("*") if not one.is_dir()]
    return Needless(path, stage, ident, why, sum(one.lstat().st_size for one in parts))
