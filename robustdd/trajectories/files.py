"""The teachers' trajectories on disk, read one snapshot at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from robustdd.errors import CorruptArtifact, Diverged, UserError


@dataclass(frozen=True)
class Trajectories:
    """Snapshots of several teachers, and the clean targets that belong to them where there are some.

    A teacher's file holds the tensor `snapshots` [E + 1, P]; its clean file `targets` [S, P] and `starts`, int64 [S],
    the start epoch of each target.
    """

    teacher_files: tuple[Path, ...]
    clean_files: tuple[Path, ...]
    num_snapshots: int
    num_parameters: int
    clean_rows: tuple[dict[int, int], ...]
    """For each teacher the row of its clean file by start epoch."""

    @classmethod
    def from_files(cls, teacher_files: Sequence[Path], clean_files: Sequence[Path] | None = None) -> Trajectories:
        """Look at the shapes in all files, one of each kind a teacher and in the same order; no snapshot is read yet.

        Raises UserError when files are missing or do not fit each other, CorruptArtifact when one cannot be read.
        """
        teachers, cleans = tuple(map(Path, teacher_files)), tuple(map(Path, clean_files or ()))
        if not teachers or (cleans and len(cleans) != len(teachers)):
            raise UserError(
                f"trajectories: {len(teachers)} teacher files with {len(cleans)} clean files, expected one of each kind"
            )
        shapes = [_shape(path, "snapshots") for path in teachers]
        for path, shape in zip(teachers, shapes, strict=True):
            if len(shape) != 2 or shape != shapes[0]:
                raise UserError(
                    f"{path}: snapshots {shape}, expected [epochs + 1, parameters] as {shapes[0]} of {teachers[0]}"
                )
        epochs, size = shapes[0]
        return cls(teachers, cleans, epochs, size, tuple(_clean_rows(path, size) for path in cleans))

    @property
    def num_teachers(self) -> int:
        """How many teachers there are."""
        return len(self.teacher_files)

    def finals(self) -> Tensor:
        """Last snapshot of every teacher [num_teachers, P]."""
        return torch.stack([_row(path, "snapshots", self.num_snapshots - 1) for path in self.teacher_files])

    def plain(self) -> Trajectories:
        """The same teachers without their clean targets."""
        return replace(self, clean_files=(), clean_rows=())

    def require(self, starts: Sequence[int], teacher_epochs: int, clean: bool) -> None:
        """Raise UserError unless every teacher has all `starts`, their targets and, if asked, their clean targets."""
        if clean and not self.clean_files:
            raise UserError(
                "trajectories: no clean targets, which aux_share above 0 needs: give the finetune files or set it to 0"
            )
        for start in starts:
            for teacher in range(self.num_teachers):
                self._clean_row(teacher, start, teacher_epochs)

    def triple(self, teacher: int, start: int, teacher_epochs: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Snapshots [P] at `start` and `teacher_epochs` later, and the clean target [P] of that start.

        The last is None without clean files. Raises UserError for an epoch that is not there, Diverged when a row is
        not finite.
        """
        path, clean_row = self.teacher_files[teacher], self._clean_row(teacher, start, teacher_epochs)
        clean = None if clean_row is None else _row(self.clean_files[teacher], "targets", clean_row)
        return _row(path, "snapshots", start), _row(path, "snapshots", start + teacher_epochs), clean

    def _clean_row(self, teacher: int, start: int, teacher_epochs: int) -> int | None:
        """Row of the clean target, None without clean files; what is missing raises UserError."""
        path, end = self.teacher_files[teacher], start + teacher_epochs
        if start < 0 or end >= self.num_snapshots:
            raise UserError(
                f"{path}: start epoch {start} with target epoch {end} is outside 0..{self.num_snapshots - 1}: "
                "train the teachers longer or lower max_start"
            )
        if not self.clean_files:
            return None
        if start not in self.clean_rows[teacher]:
            raise UserError(
                f"{self.clean_files[teacher]}: no clean target for start epoch {start}: "
                "widen finetune.first_start and last_start to it"
            )
        return self.clean_rows[teacher][start]


def _clean_rows(path: Path, num_parameters: int) -> dict[int, int]:
    shape = _shape(path, "targets")
    starts = _read(path, "starts", slice(None))
    if len(shape) != 2 or shape[1] != num_parameters or list(starts.shape) != shape[:1]:
        raise UserError(
            f"{path}: targets {shape} with starts {list(starts.shape)}, expected [S, {num_parameters}] with [S]"
        )
    return {int(start): row for row, start in enumerate(starts)}


def _shape(path: Path, name: str) -> list[int]:
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.get_slice(name).get_shape())
    except (SafetensorError, OSError) as error:
        raise CorruptArtifact(
            f"{path}: tensor {name!r} cannot be read ({error}): expected a safetensors file that holds it"
        ) from error


def _read(path: Path, name: str, rows: slice) -> Tensor:
    try:
        with safe_open(path, framework="pt") as file:
            values: Tensor = file.get_slice(name)[rows]
            return values.clone()  # the slice is a view of the mapped file
    except (SafetensorError, OSError) as error:
        raise CorruptArtifact(
            f"{path}: tensor {name!r} cannot be read ({error}): expected a safetensors file that holds it"
        ) from error


def _row(path: Path, name: str, row: int) -> Tensor:
    values = _read(path, name, slice(row, row + 1))[0]
    if not values.isfinite().all():
        raise Diverged(
            f"{path}: row {row} of {name} is not finite: lower the learning rate of the teachers and train them again"
        )
    return values
