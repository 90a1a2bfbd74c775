"""One GPU a worker process: taken by an OS lock, which the system frees when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import tempfile
import time
from pathlib import Path

from robustdd.errors import UserError

log = logging.getLogger("robustdd.run")

VISIBLE, OURS = "CUDA_VISIBLE_DEVICES", "ROBUSTDD_GPUS"
POLL_SECONDS = 0.5
_HELD: list[int] = []
"""Open lock files of this process: closed, and so freed, by its end alone."""


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; all of them where it is not set.

    The variable is moved to another name: Prefect gives its workers the environment of this process before every task,
    and would so undo what a worker took for itself.
    """
    named = os.environ.pop(VISIBLE, None)
    if named is not None:
        os.environ[OURS] = named
    named = os.environ.get(OURS)
    if named is None:
        import torch

        return tuple(str(index) for index in range(torch.cuda.device_count()))
    listed = [name.strip() for name in named.split(",")]
    end = listed.index("-1") if "-1" in listed else len(listed)
    return tuple(name for name in listed[:end] if name)


def take_gpu(gpus: tuple[str, ...]) -> None:
    """Take a free one of `gpus` for the life of this process, waiting for one if need be, and see no other."""
    told = False
    while gpus:
        for gpu in gpus:
            descriptor = _taken(gpu)
            if descriptor is not None:
                _HELD.append(descriptor)
                os.environ[VISIBLE] = gpu
                return
        if not told:
            log.info("waiting for a GPU: %s are all in use by other runs", ", ".join(gpus))
            told = True
        time.sleep(POLL_SECONDS)


def take_gpus(gpus: tuple[str, ...], wanted: int) -> dict[str, int]:
    """Up to `wanted` free ones, each with its lock, which closing frees; waits for the first."""
    taken: dict[str, int] = {}
    while gpus and not taken:
        for gpu in gpus:
            descriptor = _taken(gpu) if len(taken) < wanted else None
            if descriptor is not None:
                taken[gpu] = descriptor
        if not taken:
            time.sleep(POLL_SECONDS)
    return taken


def _taken(gpu: str) -> int | None:
    """The open lock file of a GPU that was free."""
    descriptor = os.open(_folder() / re.sub(r"[^\w-]", "_", gpu), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as trouble:
        os.close(descriptor)
        raise UserError(
            f"{_folder()}: this disk has no locks ({trouble.strerror}); set TMPDIR to a local one"
        ) from trouble
    return descriptor


def _folder() -> Path:
    """Where this user's locks lie: a folder of its own in a batch job, where every job may call its own GPU 0."""
    job = os.environ.get("SLURM_JOB_ID", "")
    folder = Path(tempfile.gettempdir()) / f"robustdd-gpus-{os.getuid()}{'-' if job else ''}{job}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder}: belongs to another user; set TMPDIR to a folder of your own")
    return folder
