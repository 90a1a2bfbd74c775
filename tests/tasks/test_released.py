"""The remote inside the repository: what fits is pushed, a clone pulls it without an account, and nothing runs."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from robustdd.errors import RobustddError, UserError
from tasks.released import DISPENSABLE, LIMIT, Out, _members, _sweep, fitting, outs_of
from tests.support.dvc_project import FILE, OURS, STUDY, commit_all, dvc, git, python
from tests.support.pipeline import CODE, bits, built_once, flip, held
from tests.support.studies import SGR

pytestmark = pytest.mark.timeout(600)
RELEASED = ".dvc/released"
PUSH = """
import logging, sys
from pathlib import Path
from tasks.released import push
logging.basicConfig(format="%(message)s", level=logging.INFO)
push(Path(sys.argv[1]), Path(), limit=int(sys.argv[2]))
"""


def outs(**sizes: int) -> list[Out]:
    return [Out(f"data/{stage}/x", f"{stage}.dir", size) for stage, size in sizes.items()]


def stages(found: list[Out]) -> list[str]:
    return [out.stage for out in found]


@pytest.mark.parametrize(
    ("sizes", "left"),
    [
        ({"teachers": 5, "finetune": 3, "distill": 2}, []),
        ({"teachers": 6, "finetune": 3, "distill": 2}, ["teachers"]),
        ({"teachers": 6, "finetune": 9, "distill": 2}, ["teachers", "finetune"]),
    ],
)
def test_snapshots_are_left_out_until_the_rest_fits(sizes: dict[str, int], left: list[str]) -> None:
    kept, without = fitting(outs(**sizes), limit=10)
    assert stages(without) == left and sorted(stages(kept) + left) == sorted(sizes)


def test_what_nobody_can_do_without_is_not_left_out() -> None:
    with pytest.raises(RobustddError, match=r"11\.0 MB without teachers and finetune, expected at most 10\.0 MB"):
        fitting(outs(teachers=1, finetune=1, distill=11_000_000))


@pytest.mark.parametrize("text", ["", "schema: '2.0'\n", "schema: '2.0'\nstages: {}\n"])
def test_a_lock_file_without_outs_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"dvc\.lock: is missing; build"):
        outs_of(tmp_path / "dvc.lock")
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(UserError, match=r"dvc\.lock: names no artifact"):
        outs_of(tmp_path / "dvc.lock")


@pytest.fixture(scope="session")
def first_release(project: Path, shared: Path) -> Path:
    """A project that has released its study; teachers are left out, as if they were large."""

    def build(folder: Path) -> None:
        with held(project.with_name("in-use")):
            shutil.copytree(project, folder, symlinks=True)
        size = sum(out.size for out in outs_of(folder / STUDY / "dvc.lock")) - 1
        said = python(folder, "-c", PUSH, STUDY, str(size))
        assert "left out: teachers, " in said and "finetune" not in said and f"git add {RELEASED}" in said
        changed = {line[3:] for line in git(folder, "status", "--porcelain").splitlines()}
        assert changed == {".dvc/released/", f"{STUDY}/dvc.lock"}
        git(folder, "add", RELEASED)
        (folder / STUDY / "dvc.lock").unlink()
        commit_all(folder, "a release")

    return built_once(shared / "dvc" / "released", build)


@pytest.fixture
def released(first_release: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(first_release, tmp_path / "released", symlinks=True))


@pytest.fixture
def clone(first_release: Path, tmp_path: Path) -> Path:
    """A fresh clone of it."""
    git(first_release, "clone", "--quiet", str(first_release), str(tmp_path / "clone"))
    return tmp_path / "clone"


def test_a_fresh_clone_gets_the_artifacts_and_runs_nothing(first_release: Path, clone: Path) -> None:
    said = python(clone, "-m", "tasks.released", "pull", STUDY)
    assert f"{STUDY}: fetched; not released: teachers" in said
    made = {name: sha for name, sha in bits(first_release / STUDY).items() if not name.startswith("teachers/")}
    assert bits(clone / STUDY) == made and (clone / STUDY / "data/report.html").is_file()
    said = python(clone, "-m", "robustdd", "verify", STUDY)
    assert "all whole" in said and f"not here: teachers {SGR}; " in said
    assert "Running stage" not in dvc(clone, "repro", "--allow-missing", FILE)
    assert OURS in python(clone, "-m", "robustdd", "table", STUDY, "--format", "csv")
    assert git(clone, "status", "--porcelain") == f"?? {STUDY}/dvc.lock\n"
    again = python(clone, "-m", "tasks.released", "pull", STUDY)
    assert "fetched" in again, "a second time is no mistake"


def test_a_study_of_ones_own_is_not_overwritten(released: Path) -> None:
    lock = released / STUDY / "dvc.lock"
    lock.write_text("mine")
    said = python(released, "-m", "tasks.released", "pull", STUDY, code=2)
    assert said == f"error: {STUDY}/dvc.lock: is this checkout's own; move it away to take the released one\n"
    assert lock.read_text() == "mine"


def test_a_harmed_object_is_not_delivered(clone: Path) -> None:
    largest = max((clone / RELEASED).rglob("files/md5/*/*"), key=lambda path: path.stat().st_size)
    flip(largest)
    python(clone, "-m", "tasks.released", "pull", STUDY)
    assert "not here: " in python(clone, "-m", "robustdd", "verify", STUDY)


def test_objects_that_no_release_names_are_swept(tmp_path: Path) -> None:
    names = {"listing": "aa" + "0" * 30 + ".dir", "member": "bb" + "0" * 30, "other": "cc" + "0" * 30}
    paths = {name: tmp_path / "files/md5" / md5[:2] / md5[2:] for name, md5 in names.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True)
        path.write_text("x")
    paths["listing"].write_text(json.dumps([{"md5": names["member"], "relpath": "a"}]))
    _sweep(tmp_path, {names["listing"]})
    assert {name for name, path in paths.items() if path.exists()} == {"listing", "member"}
    _sweep(tmp_path, set())
    assert not any(path.exists() for path in paths.values())


@pytest.mark.soak
def test_a_second_release_leaves_no_object_of_the_first(released: Path) -> None:
    folder = released / RELEASED
    before = {path.name for path in folder.rglob("files/md5/*/*")}
    stray = folder / "files/md5/00/11223344556677889900aabbccddee"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("of an older release")
    (released / STUDY / "dvc.lock").write_bytes((folder / STUDY / "dvc.lock").read_bytes())
    said = python(released, "-m", "tasks.released", "push", STUDY)
    assert "left out" not in said and not stray.exists()
    assert {path.name for path in folder.rglob("files/md5/*/*")} > before, "with the real limit teachers fit, too"
    (released / STUDY / "data/report.html").write_text("changed by hand")
    refused = python(released, "-m", "tasks.released", "push", STUDY, code=2)
    assert f"error: {STUDY}/dvc.yaml: is not up to date; run `dvc repro` on it first" in refused


def test_nothing_is_pulled_of_a_study_that_was_not_released(first_release: Path) -> None:
    said = python(first_release, "-m", "tasks.released", "pull", ".", code=2)
    assert said == "error: .: nothing of it is released with this commit; build it with `dvc repro`\n"


def test_what_this_commit_releases_is_small_and_whole() -> None:
    """Every object that a released dvc.lock names is there and whole, but for the stages that may be left out."""
    folder = CODE / RELEASED
    tracked = subprocess.run(
        ("git", "-C", str(CODE), "ls-files", RELEASED), capture_output=True, text=True, check=False
    ).stdout.split()
    assert sum((CODE / name).stat().st_size for name in tracked) <= LIMIT * 1.1
    objects = {path.parent.name + path.name: path for path in folder.glob("files/md5/*/*")}
    for name, path in objects.items():
        assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == name.removesuffix(".dir")
    for lock in folder.rglob("dvc.lock"):
        for out in outs_of(lock):
            if out.md5 in objects or out.stage not in DISPENSABLE:
                assert {out.md5, *_members(folder, out.md5)} <= set(objects), out.path
