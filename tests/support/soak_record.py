"""The record of `make soak`: when, which commit, every long test with its seconds, its outcome and what it recorded."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from robustdd.store.artifacts import write_atomically
from robustdd.store.provenance import commit

RECORD = Path(__file__).resolve().parents[2] / "results" / "soak.json"


class SoakRecord:
    """Collects the reports of a session and writes them when it ends; setup and teardown count to their test."""

    def __init__(self, path: Path = RECORD) -> None:
        self._path = path
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = self._tests.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0})
        found["seconds"] = round(found["seconds"] + report.duration, 2)
        found.update(report.user_properties)
        if report.outcome != "passed":
            found["outcome"] = report.outcome

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if hasattr(session.config, "workerinput"):
            return  # one of several processes: the one that started them hears of every test
        outcomes = [found["outcome"] for found in self._tests.values()]
        record = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "python": platform.python_version(),
            "outcome": "passed" if exitstatus == 0 else "failed",
            "counts": {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
            "seconds": round(sum(found["seconds"] for found in self._tests.values()), 2),
            "tests": dict(sorted(self._tests.items())),
        }
        write_atomically(self._path, (json.dumps(record, indent=1) + "\n").encode())


def pytest_configure(config: pytest.Config) -> None:
    """For `-p tests.support.soak_record`."""
    config.pluginmanager.register(SoakRecord(), "soak-record")
