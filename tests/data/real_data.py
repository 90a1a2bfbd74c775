"""Real data for tests, where the machine has some: under ROBUSTDD_DATA, else the test is skipped and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustdd.data.data_folder import locate
from robustdd.errors import UserError


def real(usual: str) -> Path:
    """The file or folder `usual` under ROBUSTDD_DATA; skips the test where there is none."""
    try:
        return locate(None, usual, Path(), f"NOT TESTED on real data, {usual}")
    except UserError as error:
        pytest.skip(str(error))
