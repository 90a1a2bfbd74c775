"""The artifacts that are released with the code: a DVC remote of at most 10 MB inside the repository.

`python -m tasks.released push|pull [STUDY]`. A released study is its dvc.lock, kept beside the remote and not where DVC
looks for it: run records differ from run to run, so that a dvc.lock which git tracks would change with every
`dvc repro`, stand in the way of the next merge and mark the commit of every later stage as dirty.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustdd.errors import RobustddError, UserError
from robustdd.store.artifacts import write_atomically

log = logging.getLogger("robustdd.run")

REMOTE = "released"
LIMIT = 10_000_000
"""Bytes that the remote may hold."""
DISPENSABLE = ("teachers", "finetune")
"""Stages that are left out, the first first, until the rest fits: snapshots, which no table or distilled set needs."""
OBJECTS = Path("files", "md5")


@dataclass(frozen=True)
class Out:
    """One out of a dvc.lock: where it lies, its md5 and its size in bytes."""

    path: str
    md5: str
    size: int

    @property
    def stage(self) -> str:
        """The stage that makes it."""
        return Path(self.path).parts[1]


def outs_of(lock: Path) -> list[Out]:
    """Every out that a dvc.lock names. Raises UserError when there is none of that name, or none in it."""
    from ruamel.yaml import YAML

    if not lock.is_file():
        raise UserError(f"{lock}: is missing; build the study with `dvc repro` first")
    stages: Mapping[str, Any] = (YAML(typ="safe").load(lock.read_text()) or {}).get("stages", {})
    outs = [Out(out["path"], out["md5"], out["size"]) for stage in stages.values() for out in stage.get("outs", ())]
    if not outs:
        raise UserError(f"{lock}: names no artifact; build the study with `dvc repro` first")
    return outs


def fitting(outs: Sequence[Out], limit: int = LIMIT) -> tuple[list[Out], list[Out]]:
    """The outs that are released and those that are left out, so that the former take at most `limit` bytes.

    Raises RobustddError when what cannot be left out is too large.
    """
    kept, left = list(outs), list[Out]()
    for stage in DISPENSABLE:
        if sum(out.size for out in kept) > limit:
            left += [out for out in kept if out.stage == stage]
            kept = [out for out in kept if out.stage != stage]
    size = sum(out.size for out in kept)
    if size > limit:
        raise RobustddError(
            f"released artifacts: {_megabytes(size)} without {' and '.join(DISPENSABLE)}, expected at most "
            f"{_megabytes(limit)}; use a remote outside the repository (docs/artifacts.md)"
        )
    return kept, left


def push(study: Path, root: Path, limit: int = LIMIT) -> None:
    """Put what fits of an up-to-date study into the remote inside `root`, with its dvc.lock; nothing is committed.

    Objects that no released study names any more are removed. Raises UserError for a study that is not up to date.
    """
    lock = study / "dvc.lock"
    kept, left = fitting(outs_of(lock), limit)
    if not _dvc(root, "status", "--quiet", _relative(study / "dvc.yaml", root)):
        raise UserError(f"{study / 'dvc.yaml'}: is not up to date; run `dvc repro` on it first")
    _told(root, "push", "--quiet", "--remote", REMOTE, *(_relative(study / out.path, root) for out in kept))
    folder = root / ".dvc" / REMOTE
    released = folder / _relative(lock, root)
    write_atomically(released, lock.read_bytes())
    _sweep(folder, {out.md5 for out in kept} | _named_by(folder, but=released))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    log.info("%s: %s in %s", study, _megabytes(size), folder)
    for stage in sorted({out.stage for out in left}):
        log.info("left out: %s, %s", stage, _megabytes(sum(out.size for out in left if out.stage == stage)))
    log.info("nothing is committed; to release it: git add %s", folder)


def pull(study: Path, root: Path) -> None:
    """Take the released dvc.lock of a study into its place and fetch what it names; what is left out stays missing.

    Raises UserError when nothing is released, or when the study has another dvc.lock of its own.
    """
    lock = study / "dvc.lock"
    released = root / ".dvc" / REMOTE / _relative(lock, root)
    if not released.is_file():
        raise UserError(f"{study}: nothing of it is released with this commit; build it with `dvc repro`")
    if lock.exists() and lock.read_bytes() != released.read_bytes():
        raise UserError(f"{lock}: is this checkout's own; move it away to take the released one")
    write_atomically(lock, released.read_bytes())
    _told(root, "pull", "--quiet", "--allow-missing", "--remote", REMOTE, _relative(study / "dvc.yaml", root))
    missing = sorted({out.stage for out in outs_of(lock) if not (study / out.path).exists()})
    log.info("%s: fetched%s", study, f"; not released: {', '.join(missing)}" if missing else "")


def _named_by(folder: Path, but: Path) -> set[str]:
    """The md5 of every out of the other released studies."""
    return {out.md5 for lock in folder.rglob("dvc.lock") if lock != but for out in outs_of(lock)}


def _sweep(folder: Path, outs: set[str]) -> None:
    """Remove every object that none of these outs is, or holds."""
    named = {digest for out in outs for digest in (out, *_members(folder, out))}
    for path in sorted((folder / OBJECTS).glob("*/*")):
        if path.parent.name + path.name not in named:
            path.unlink()


def _members(folder: Path, md5: str) -> Iterator[str]:
    """The md5 of every file of an out that is a folder: DVC keeps its listing under an object of its own."""
    listing = folder / OBJECTS / md5[:2] / md5[2:]
    if md5.endswith(".dir") and listing.is_file():
        yield from (entry["md5"] for entry in json.loads(listing.read_bytes()))


def _relative(path: Path, root: Path) -> str:
    resolved = path.parent.resolve() / path.name
    if not resolved.is_relative_to(root.resolve()):
        raise UserError(f"{path}: lies outside of {root}; a study is released with the code that made it")
    return str(resolved.relative_to(root.resolve()))


def _dvc(root: Path, *arguments: str) -> bool:
    return subprocess.run((sys.executable, "-m", "dvc", *arguments), cwd=root, check=False).returncode == 0


def _told(root: Path, *arguments: str) -> None:
    if not _dvc(root, *arguments):
        raise RobustddError(f"dvc {arguments[0]} failed; what it said stands above")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def main(arguments: Sequence[str] | None = None, root: Path = Path()) -> int:
    """Exit code: 0, 2 for the user's mistakes, 1 for other failures; `root` is the repository."""
    parser = argparse.ArgumentParser(prog="python -m tasks.released", description=__doc__)
    parser.add_argument("what", choices=("push", "pull"))
    parser.add_argument("study", nargs="?", type=Path, default=Path())
    asked = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO, force=True)
    try:
        (push if asked.what == "push" else pull)(asked.study, root)
    except RobustddError as error:
        log.error("error: %s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
