"""The stage `subset`: what it says when the teachers' weights cannot rank."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from tests.support.pipeline import change, changed, run
from tests.support.studies import SGR


def test_weights_that_all_teachers_agree_on_are_told(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "robustdd.run"):
        shutil.rmtree(study / "data/subset" / SGR)
        (made,) = run(study, "subset", SGR)
        assert not made.cached and not caplog.records
        change(study, changed("views", SGR, "weights", to="ssft"))
        for stage in ("teachers", "consistency", "subset"):
            run(study, stage, SGR)
    (said,) = [record.getMessage() for record in caplog.records if "alike" in record.getMessage()]
    assert said.startswith(f"subset {SGR}: all teachers weigh a sample alike")
