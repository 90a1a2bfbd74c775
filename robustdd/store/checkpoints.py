"""Checkpoints of a long computation: each a new directory, renamed when whole, so that no kill tears one."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from robustdd.store import disk
from robustdd.store.disk import rename, sync_file, sync_folder, told_in_one_line
from robustdd.store.manifest import JSON, canonical, parse_canonical

log = logging.getLogger("robustdd")

KEPT = 2
"""Generations kept: the newest may turn out to be damaged."""
_LASTING = ".lasting.safetensors"
_TENSORS, _FACTS, _DIGESTS = "tensors.safetensors", "facts.json", "digests.json"
_GENERATION = re.compile(r"step-(\d{6,18})")


@dataclass(frozen=True)
class Saved:
    """What a checkpoint gives back: tensors on the CPU, and the facts as JSON knows them (tuples become lists)."""

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class _DamagedError(Exception):
    """A generation that is not what was saved."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one computation, in a folder of their own.

    `binding` tells what the bits depend on: key, device, threads, versions. One of another binding is not used.
    """

    folder: Path
    binding: Mapping[str, str]

    def latest(self) -> Saved | None:
        """The whole checkpoint of this binding with the highest step, or None; the log tells what was passed over."""
        changed: list[str] = []
        for path in self._generations():
            try:
                binding, saved = _read(path)
            except _DamagedError as damage:
                log.warning("checkpoint %s is damaged (%s): an earlier one is used, if there is one", path, damage)
                continue
            different = [name for name in {**binding, **self.binding} if binding.get(name) != self.binding.get(name)]
            if not different:
                return saved
            changed = changed or [f"{name} was {binding.get(name)}, is {self.binding.get(name)}" for name in different]
        if changed:
            log.warning("checkpoints in %s are not used: %s", self.folder, "; ".join(changed))
        return None

    def due(self, step: int, every: int) -> bool:
        """Whether the state after `step` steps is to be saved: every so many steps; who watches may ask for more."""
        return step % every == 0

    def save(
        self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, JSON], lasting: Mapping[str, Tensor] = {}
    ) -> None:
        """Keep the state after `step` steps, beside the newest older one; everything else in the folder is removed.

        Tensors that are `lasting` never change once they were saved under their name: a file each, written once and
        shared by the checkpoints that hold it. They come back with the others. Neither tensors nor any generator's
        state are touched. Raises RobustddError in one line when the disk is full or refuses (the older checkpoints are
        intact), ValueError for facts with nan or inf.
        """
        files = {f"{name}{_LASTING}": _tensor_bytes({name: tensor}) for name, tensor in lasting.items()}
        files |= {_TENSORS: _tensor_bytes(tensors), _FACTS: self._facts(step, facts)}
        files[_DIGESTS] = canonical({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
        path = self.folder / f"step-{step:06d}"
        temporary = path.with_suffix(".tmp")
        with told_in_one_line(self.folder, sum(map(len, files.values()))):
            try:
                _write_folder(temporary, files, next(filter(self._owns, self._generations()), None))
                if path.exists():  # damaged, or of another binding: a directory cannot be replaced in one step
                    _remove_folder(path)
                rename(temporary, path)
            except BaseException:
                _remove_folder(temporary)
                raise
            sync_folder(self.folder)
            self._prune(step)

    def clear(self) -> None:
        """Remove every checkpoint; for after the result is published."""
        for path in (*self._generations(), *self._leftovers()):
            _remove_folder(path)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _facts(self, step: int, facts: Mapping[str, JSON]) -> bytes:
        return canonical({"binding": self.binding, "facts": facts, "step": step})

    def _generations(self) -> list[Path]:
        """Generations by step, highest first; never by time, since clocks are set back."""
        return sorted((path for path in self._entries() if _step_of(path) >= 0), key=_step_of, reverse=True)

    def _leftovers(self) -> list[Path]:
        return [path for path in self._entries() if path.name.endswith(".tmp")]

    def _entries(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    def _prune(self, step: int) -> None:
        """Keep `step` and the next of this binding below it; those above it are damaged or of another binding."""
        below = [path for path in self._generations() if _step_of(path) < step and self._owns(path)]
        kept = {f"step-{step:06d}", *(path.name for path in below[: KEPT - 1])}
        for path in (*self._generations(), *self._leftovers()):
            if path.name not in kept:
                _remove_folder(path)

    def _owns(self, path: Path) -> bool:
        try:
            return bool(parse_canonical((path / _FACTS).read_bytes())["binding"] == dict(self.binding))
        except (OSError, ValueError, KeyError):
            return False


def _step_of(path: Path) -> int:
    """The step that a generation's name tells; -1 for another name."""
    match = _GENERATION.fullmatch(path.name)
    return int(match.group(1)) if match else -1


def _tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Bytes of the tensors as they are now; clones, since safetensors refuses tensors that share memory."""
    return safetensors.torch.save(
        {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    )


def _tensors(content: bytes) -> dict[str, Tensor]:
    found: dict[str, Tensor] = safetensors.torch.load(content)
    return found


def _write_folder(folder: Path, files: Mapping[str, bytes], before: Path | None) -> None:
    """Write a new folder of files, all of it brought to the disk; what lasts and lies in `before` gets another name."""
    _remove_folder(folder)
    folder.mkdir(parents=True)
    for name, content in files.items():
        disk.point("write", folder / name)
        if before and name.endswith(_LASTING) and _linked(before / name, folder / name, content):
            continue
        (folder / name).write_bytes(content)
        sync_file(folder / name)
    sync_folder(folder)


def _linked(source: Path, target: Path, content: bytes) -> bool:
    """Whether `source` holds just this and got a second name; not every disk can do that."""
    try:
        if source.read_bytes() != content:
            return False
        os.link(source, target)
    except OSError:
        return False
    return True


def _remove_folder(path: Path) -> None:
    """Remove a generation or a leftover; it is named a leftover first, so that half a generation is never read."""
    doomed = path if path.suffix == ".tmp" else path.with_suffix(".old.tmp")
    if doomed.exists():
        disk.point("remove", doomed)
        shutil.rmtree(doomed)
    if path.exists():
        rename(path, doomed)
        _remove_folder(doomed)


def _read(path: Path) -> tuple[dict[str, Any], Saved]:
    """Binding and content of a generation, read once and checked before use."""
    try:
        digests = parse_canonical((path / _DIGESTS).read_bytes())
        lasting = [name for name in digests if name.endswith(_LASTING)]
        files = {name: (path / name).read_bytes() for name in (_TENSORS, _FACTS, *lasting)}
        for name, content in files.items():
            if hashlib.sha256(content).hexdigest() != digests.get(name):
                raise _DamagedError(f"{name}: sha256 does not match")
        plain = parse_canonical(files[_FACTS])
        if plain["step"] != _step_of(path):
            raise _DamagedError("it is of another step than its name tells")
        tensors = {name: value for file in (_TENSORS, *lasting) for name, value in _tensors(files[file]).items()}
        saved = Saved(plain["step"], tensors, plain["facts"])
        return plain["binding"], saved
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise _DamagedError(" ".join(str(error).split())) from error
