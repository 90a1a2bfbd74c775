"""Which commit made a result: git's word first, then the environment's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from robustdd.store import provenance as module


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("ROBUSTDD_COMMIT", raising=False)
    module.commit.cache_clear()
    yield tmp_path
    module.commit.cache_clear()


def test_git_tells_the_commit_and_whether_files_differ(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        told = subprocess.run(("git", "-C", root, *words), check=True, capture_output=True, text=True)
        return told.stdout.strip()

    (root / "code.py").write_text("1")
    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first")
    monkeypatch.setenv("ROBUSTDD_COMMIT", "another")
    assert module.commit() == git("rev-parse", "--short=12", "HEAD")
    module.commit.cache_clear()
    (root / "code.py").write_text("2")
    assert module.commit().endswith("-dirty")


def test_a_copy_without_a_repository_is_told_by_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.commit() == "unknown"
    module.commit.cache_clear()
    monkeypatch.setenv("ROBUSTDD_COMMIT", "0123456789ab")
    assert module.commit() == "0123456789ab"


def test_a_machine_without_git_is_no_reason_to_stop(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    assert module.commit() == "unknown"
