from __future__ import annotations

from pathlib import Path

import pytest

from robustdd.data.data_folder import VARIABLE, locate
from robustdd.errors import UserError


def test_a_path_of_params_wins_and_is_seen_from_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    (tmp_path / "labels.pt").touch()
    assert locate("labels.pt", "usual.pt", tmp_path, "labels") == tmp_path / "labels.pt"
    assert locate(str(tmp_path / "labels.pt"), "usual.pt", Path("/"), "labels") == tmp_path / "labels.pt"


def test_without_a_path_the_folder_of_the_environment_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert locate(None, "set", Path("/"), "images") == tmp_path / "set"


def test_what_is_nowhere_is_told_with_both_ways_to_give_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UserError, match=r"human labels: give its path in params\.yaml, or set ROBUSTDD_DATA"):
        locate(None, "n/labels.pt", tmp_path, "human labels")
    with pytest.raises(UserError, match=r"missing\.pt does not exist"):
        locate("missing.pt", "n/labels.pt", tmp_path, "human labels")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=r"n/labels\.pt does not exist"):
        locate(None, "n/labels.pt", tmp_path, "human labels")
