"""S3: whoever takes somebody's params.yaml and types `dvc repro` runs nothing but this project's code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.stage import main, place_of_dvc
from robustdd.errors import UserError
from tests.support.dvc_project import CELL, RANDOM, SGR, STUDY, commit_all, dvc, make_project, small_study

pytestmark = pytest.mark.timeout(600)
HOSTILE = ("x; touch F", "$(touch F)", "`touch F`", "x && touch F", "x | touch F", "x\ntouch F", "../../precious", "-h")


def renamed(params: dict[str, Any], table: str, ident: str) -> dict[str, Any]:
    """The study with a hostile id in one table, or as its name."""
    if table == "name":
        return {**params, "name": ident}
    return {
        **params,
        table: {(ident if key == next(iter(params[table])) else key): value for key, value in params[table].items()},
    }


def write(folder: Path, params: dict[str, Any]) -> None:
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, and the same one as the root's, in a repository where nothing has run; and what nobody may touch."""
    folder = make_project(tmp_path_factory.mktemp("hostile") / "project", small_study())
    precious = folder / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("years")
    commit_all(folder, "precious")
    return folder


@pytest.mark.soak
@pytest.mark.parametrize("place", [".", STUDY])
@pytest.mark.parametrize("table", ["name", "datasets", "rows"])
def test_an_id_runs_nothing_and_deletes_nothing(repository: Path, place: str, table: str) -> None:
    refused(repository, place, table, HOSTILE)


def test_an_id_of_a_study_runs_nothing(repository: Path) -> None:
    refused(repository, STUDY, "datasets", HOSTILE[:1])


def refused(repository: Path, place: str, table: str, idents: Sequence[str]) -> None:
    study, root = repository / place, {"root": "." if place == "." else "../.."}
    for ident in idents:
        write(study, {**renamed(small_study(), table, ident), **root})
        said = dvc(repository, "repro", str(Path(place) / "dvc.yaml"), code=255)
        errors = [line for line in said.splitlines() if line.lower().startswith("error: ")]
        assert errors and "Traceback" not in said, said
        assert not list(repository.rglob("F")), ident
        assert (repository / "precious/thesis").read_text() == "years"


def test_the_id_is_taken_from_dvc(tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for told, place in {
        f"distill@{RANDOM}": ("distill", RANDOM),
        f"studies/tiny/dvc.yaml:teachers@{SGR}": ("teachers", SGR),
        "studies/tiny/dvc.yaml:report": ("report", "tiny"),
        "report": ("report", "tiny"),
    }.items():
        monkeypatch.setenv("DVC_STAGE", told)
        assert place_of_dvc(study) == place
    monkeypatch.delenv("DVC_STAGE")
    with pytest.raises(UserError, match=r"no stage is named; expected `python -m flows.stage STAGE ID`"):
        place_of_dvc(study)
    monkeypatch.chdir(study)
    assert main([]) == 2 and main(["labels"]) == 2 and main(["labels", CELL, "more"]) == 2
