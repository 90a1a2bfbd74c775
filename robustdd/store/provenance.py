"""Which commit of the code computes, for provenance."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def commit() -> str:
    """Commit of the code, `-dirty` where files differ from it; outside a repository what ROBUSTDD_COMMIT says.

    `unknown` where neither tells.
    """
    command = ("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:  # no git here
        done = ""
    return done or os.environ.get("ROBUSTDD_COMMIT", "") or "unknown"
