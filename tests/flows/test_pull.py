"""Artifacts that travel: push, clone, pull, and nothing runs again, with and without a server; what was harmed on the
way is found."""

from __future__ import annotations

import hashlib
import json
import shutil
import urllib.request
from pathlib import Path

import pytest

from flows.with_server import loopback_server
from tasks.cache import cache as caching
from tests.support.dvc_project import DVC_STAGES, FILE, STAGES, STUDY, commit_all, dvc, git, python
from tests.support.pipeline import bits, built_once, environment, executed, held, run_all, stages
from tests.support.studies import SGR

pytestmark = pytest.mark.timeout(600)
PULL, REPRO = ("pull", "--allow-missing"), ("repro", "--allow-missing", FILE)
TEACHER = f"data/teachers/{SGR}/teacher-001.safetensors"

FORCED = """
import sys
from pathlib import Path
from flows.stage import leave, run_stage
for place in sys.argv[1:]:
    stage, ident = place.split()
    outcomes = run_stage(stage, ident, Path.cwd(), 1)
    print(stage, ident, sum(not one.cached for one in outcomes), sum(one.cached for one in outcomes))
leave(0)
"""


@pytest.fixture(scope="session")
def pushed(project: Path, shared: Path) -> Path:
    """The small study as its author leaves it: dvc.lock committed, artifacts in a remote."""

    def build(folder: Path) -> None:
        with held(project.with_name("in-use")):
            shutil.copytree(project, folder, symlinks=True)
        dvc(folder, "remote", "add", "--default", "store", str(folder.with_name("store")))
        dvc(folder, "push")
        commit_all(folder, "its artifacts")

    return built_once(shared / "dvc" / "pushed", build)


@pytest.fixture
def cloned(pushed: Path, tmp_path: Path) -> Path:
    """A fresh clone, with a remote of its own to harm; nothing is pulled yet."""
    store = Path(shutil.copytree(pushed.with_name("store"), tmp_path / "store"))
    git(pushed, "clone", "--quiet", str(pushed), str(tmp_path / "clone"))
    dvc(tmp_path / "clone", "remote", "modify", "--local", "store", "url", str(store))
    return tmp_path / "clone"


def harm(store: Path, path: Path) -> None:
    """Change one byte of the object that holds the bytes of `path`."""
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    kept = store / "files" / "md5" / digest[:2] / digest[2:]
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.chmod(0o644)
    kept.write_bytes(bytes(data))


def test_what_was_pulled_runs_nothing(
    pushed: Path, cloned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = (cloned / STUDY / "dvc.lock").read_bytes()
    dvc(cloned, *PULL)
    assert bits(cloned / STUDY) == bits(pushed / STUDY)
    said = dvc(cloned, *REPRO)
    assert "Running stage" not in said and said.count("skipping") == DVC_STAGES
    assert dvc(cloned, "status", FILE).strip() == "Data and pipelines are up to date."
    assert (cloned / STUDY / "dvc.lock").read_bytes() == lock and git(cloned, "status", "--porcelain") == ""
    said = python(cloned, "-m", "robustdd", "verify", STUDY)
    assert "all whole" in said and "not here" not in said
    code = cloned / "robustdd/exactness.py"
    code.write_text(f"{code.read_text()}# A remark, later than what was pulled.\n")
    said = dvc(cloned, *REPRO)
    assert said.count("Running stage") == 1 and "code: as before" in said
    monkeypatch.setattr(caching, "ROOT", tmp_path / "elsewhere")
    ran = run_all(cloned / STUDY)
    assert executed(ran) == set() and len(ran) == STAGES, "a stage that is forced finds everything cached"
    assert bits(cloned / STUDY) == bits(pushed / STUDY)


@pytest.mark.enable_socket
def test_under_a_server_with_an_empty_store_every_task_is_cached(
    cloned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(tmp_path / "server").items():
        monkeypatch.setenv(name, value)
    dvc(cloned, *PULL)
    before = bits(cloned / STUDY)
    with loopback_server(tmp_path / "server") as url:
        assert url is not None
        assert "Running stage" not in dvc(cloned, *REPRO, PREFECT_API_URL=url)
        said = python(cloned / STUDY, "-c", FORCED, *map(" ".join, stages(cloned / STUDY)), PREFECT_API_URL=url)
        counts = [line.split() for line in said.splitlines() if line.count(" ") == 3]
        assert len(counts) == STAGES and {executed for _, _, executed, _ in counts} == {"0"}, said
        runs = asked_of(url, "task_runs/filter")
        states = {run["name"]: run["state"]["name"] for run in runs}
        assert len(runs) == sum(int(cached) for *_, cached in counts) and set(states.values()) == {"Cached"}
        assert any(name.startswith("distilled: digits, ") for name in states), states
    assert bits(cloned / STUDY) == before


def asked_of(url: str, what: str) -> list[dict[str, dict[str, str]]]:
    question = urllib.request.Request(f"{url}/{what}", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(question, timeout=10) as answer:
        found: list[dict[str, dict[str, str]]] = json.loads(answer.read())
    return found


def test_a_tampered_object_is_found_by_the_manifest(pushed: Path, cloned: Path) -> None:
    """DVC delivers it: its md5 is an identity, not a check."""
    harm(cloned.parent / "store", pushed / STUDY / TEACHER)
    dvc(cloned, *PULL)
    assert (cloned / STUDY / TEACHER).read_bytes() != (pushed / STUDY / TEACHER).read_bytes()
    said = python(cloned, "-m", "robustdd", "verify", STUDY, code=1)
    assert said.startswith("error: ") and f"{TEACHER}: sha256 does not match its manifest" in said
    assert said.count("\n") == 1
    made_again = python(cloned / STUDY, "-m", "flows.stage", "teachers", SGR)
    assert f"teachers {SGR}: 1 executed, 1 cached" in made_again
    assert bits(cloned / STUDY) == bits(pushed / STUDY)


def test_a_tampered_object_is_refused_where_the_remote_is_verified(pushed: Path, cloned: Path) -> None:
    dvc(cloned, "remote", "modify", "--local", "store", "verify", "true")
    harm(cloned.parent / "store", pushed / STUDY / TEACHER)
    dvc(cloned, *PULL)
    assert not (cloned / STUDY / TEACHER).exists(), "with --allow-missing it is missing, and the exit code is 0"
    assert "up to date" not in dvc(cloned, "status", FILE)
    assert f"not here: teachers {SGR}; " in python(cloned, "-m", "robustdd", "verify", STUDY)
