"""Disks without locks, folders of another user, a read-only /var/tmp: one line, or no harm."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows import gpus, reproduce, stage, with_server
from robustdd.errors import RobustddError, UserError
from robustdd.store.locking import only_writer
from tests.support.dvc_project import STUDY, commit_all, git, make_project, project_environment, small_study


def failing(number: int) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_told_in_one_line(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(number))
    expected = (
        rf"locks: this disk has no locks \({os.strerror(number)}\); make .robustdd a link to .*, see docs/trouble.md$"
    )
    with pytest.raises(RobustddError, match=expected), only_writer(tmp_path / ".robustdd/locks/one"):
        pytest.fail("nobody holds the lock")
    monkeypatch.setattr(gpus.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(UserError, match=r"this disk has no locks .*; set TMPDIR to a local one$"):
        gpus.take_gpus(("0",), 1)


def test_the_cure_is_a_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / ".robustdd").symlink_to(tmp_path / "local")
    with only_writer(tmp_path / ".robustdd/locks/one"):
        assert (tmp_path / "local/locks/one").read_text() == str(os.getpid())


def test_a_lock_that_cannot_be_opened_is_told_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", failing(errno.EACCES))
    expected = rf"^cannot write in {tmp_path}/locks: Permission denied; make the folder writable"
    with pytest.raises(RobustddError, match=expected), only_writer(tmp_path / "locks/one"):
        pytest.fail("nobody holds the lock")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_any_other_file_of_another_user_costs_one_line(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "run_stage", failing(number))
    monkeypatch.setattr(reproduce, "reproduce", failing(number))
    for main, asked in ((stage.main, ["images", "digits"]), (reproduce.main, [str(tmp_path)])):
        assert main(asked) == 1
        assert capsys.readouterr().err.startswith(f"error: cannot write in {tmp_path}: {os.strerror(number)}; ")


def test_a_folder_that_takes_no_server_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file/prefect"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert with_server.main(["touch", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.startswith(f"error: cannot write in {tmp_path}/file/prefect: ")
    assert not (tmp_path / "run").exists()


def test_dvc_keeps_its_cache_in_the_checkout(tmp_path: Path) -> None:
    """Also where it is called in the folder of a study; neither git nor DVC's watch of the code sees it."""
    folder = make_project(tmp_path / "project", small_study())
    commit_all(folder, "more") if git(folder, "status", "--porcelain") else None
    env = {name: value for name, value in project_environment(folder).items() if name != "DVC_SITE_CACHE_DIR"}
    for place in (folder, folder / STUDY, folder / "robustdd"):
        subprocess.run(("dvc", "status", "-q"), cwd=place, env=env, check=False, capture_output=True)
        assert (place / ".robustdd/dvc/repo").is_dir()
    assert git(folder, "status", "--porcelain") == ""
    listed = subprocess.run(("dvc", "check-ignore", "robustdd/.robustdd"), cwd=folder, env=env, check=False)
    assert listed.returncode == 0


def test_dvc_works_where_no_other_folder_can_be_written(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", small_study())
    env = {name: value for name, value in project_environment(folder).items() if name != "DVC_SITE_CACHE_DIR"}
    if not shutil.which("unshare") or subprocess.run(("unshare", "-m", "true"), capture_output=True).returncode:
        pytest.skip("needs the right to mount in a namespace of its own")
    line = "mount -t tmpfs -o ro none /var/tmp && dvc status"
    done = subprocess.run(("unshare", "-m", "sh", "-c", line), cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
