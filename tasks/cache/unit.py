"""What a cached task is asked for, and the key that says whether it is there already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from robustdd.errors import UserError
from robustdd.progress import Listener
from robustdd.store.artifacts import read_manifest, verify
from robustdd.store.checkpoints import Checkpoints
from tasks.cache.code import code_hash, module_of
from tasks.cache.layout import Place

KEY_SCHEMA = 2
"""Raised when the meaning of a key changes: every artifact is then made anew."""

STUDY_WIDE = frozenset({"device", "network", "threads"})
"""Names of params of which a study has one value for all units that have them."""


@dataclass(frozen=True)
class Input:
    """An artifact that a unit reads: the files that the manifest `name` in `folder` lists."""

    folder: Path
    name: str


@dataclass(frozen=True)
class Unit:
    """One artifact to make: by which task, from which values and inputs, and where it goes."""

    task: str
    """Stage and task, such as `teachers.train`, as its `cached_task` declares it."""
    place: Place
    name: str
    params: Mapping[str, Any]
    """Every value that the result depends on: frozen sections of params.yaml, numbers, texts."""
    inputs: Mapping[str, Input] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """The stage that declares the task."""
        return self.task.partition(".")[0]

    @property
    def folder(self) -> Path:
        """Folder of the artifact."""
        return self.place.folder

    def path(self, label: str, file: str) -> Path:
        """Path of `file` of the input `label`."""
        return self.inputs[label].folder / file


@dataclass(frozen=True)
class Work:
    """What a task's body is given beside its unit."""

    checkpoints: Checkpoints
    progress: Listener


@dataclass(frozen=True)
class Made:
    """What a task's body returns: files by name, as bytes or writers to a path, and deterministic notes (JSON)."""

    files: Mapping[str, bytes | Callable[[Path], None]]
    notes: Mapping[str, Any] = field(default_factory=dict)


Body = Callable[[Unit, Work], Made]


@dataclass(frozen=True)
class Key:
    """A unit's key and what it is made of: values, sha256 of every input file, hash of the code."""

    key: str
    params: dict[str, Any]
    inputs: dict[str, str]
    code: str


def key_of(unit: Unit) -> Key:
    """Key of a unit as its inputs and the code are now.

    Raises UserError when an input is missing, CorruptArtifact when its bytes are not those of its manifest.
    """
    params = {name: plain(value) for name, value in sorted(unit.params.items())}
    inputs: dict[str, str] = {}
    for label, needed in sorted(unit.inputs.items()):
        inputs |= {f"{label}/{file}": sha for file, sha in input_digests(needed).items()}
    code = stage_code(module_of(unit.stage))
    parts = {"schema": KEY_SCHEMA, "task": unit.task, "params": params, "inputs": inputs, "code": code}
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return Key(hashlib.sha256(text.encode()).hexdigest(), params, inputs, code)


def stage_code(module: str) -> str:
    """Hash of the code that a module of tasks reaches, as it is now: the code in the keys of its units."""
    return code_hash(module)


def made_with_settings_of(needed: Input, unit: Unit) -> bool:
    """Whether an input of `unit` was made with the settings that the study has for all units."""
    manifest = read_manifest(needed.folder, needed.name)
    shared = STUDY_WIDE & manifest.params.keys() & unit.params.keys()
    return all(manifest.params[name] == plain(unit.params[name]) for name in shared)


def input_digests(needed: Input) -> dict[str, str]:
    """Sha256 by file name of a verified input."""
    if not (needed.folder / f"{needed.name}.manifest.json").is_file():
        stage, ident = needed.folder.parent.name, needed.folder.name
        raise UserError(
            f"{needed.name} of {stage} {ident} is missing; run `dvc repro {stage}@{ident}` or `dvc pull` first"
        )
    manifest = verify(needed.folder, needed.name)
    return {file: str(entry["sha256"]) for file, entry in sorted(manifest.files.items())}


def plain(value: Any) -> Any:
    """A section, tuple or number as JSON knows it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(inner) for name, inner in asdict(value).items()}
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value
