"""Where data lies that the project does not ship: at a path in params.yaml, or under the folder ROBUSTDD_DATA."""

from __future__ import annotations

import os
from pathlib import Path

from robustdd.errors import UserError

VARIABLE = "ROBUSTDD_DATA"
"""The environment variable that names a folder of data; read here and nowhere else."""


def locate(path: str | None, usual: str, base: Path, what: str) -> Path:
    """The file or folder at `path`, seen from the folder `base` (a study's), or else `usual` under ROBUSTDD_DATA.

    Raises UserError, naming `what` is sought, when it does not exist or when neither place is given.
    """
    if path is not None:
        found = base / Path(path).expanduser()
    elif root := os.environ.get(VARIABLE):
        found = Path(root) / usual
    else:
        raise UserError(f"{what}: give its path in params.yaml, or set {VARIABLE} to a folder with {usual}")
    if not found.exists():
        raise UserError(f"{what}: {found} does not exist; expected a path, or {usual} under {VARIABLE}")
    return found
