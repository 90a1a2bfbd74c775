"""`check` and `verify`: what they say, one line for a mistake, and the exit codes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robustdd.cli import app
from robustdd.errors import CorruptArtifact, RobustddError, UserError
from robustdd.store.artifacts import publish
from tests.store.test_artifacts import FIELDS, OLD
from tests.support.studies import CELL, PLAIN, SGR, tiny_study, write_study


def command(*arguments: object) -> int:
    """Exit code of the command line, run in this process."""
    with pytest.raises(SystemExit) as ended:
        app.main([str(argument) for argument in arguments])
    code = ended.value.code
    return code if isinstance(code, int) else int(code is not None)


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and told.err.endswith("\n") and told.err.count("\n") == 1
    return told.err


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = write_study(tmp_path / "a study, é")
    for stage, name in (("labels", "labels"), ("teachers", "teacher-000"), ("teachers", "teacher-001")):
        publish(folder / "data" / stage / CELL, name, {f"{name}-{file}": data for file, data in OLD.items()}, **FIELDS)
    (folder / "data" / "report.html").write_text("no artifact")
    return folder


def test_check_says_what_it_found(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", study) == 0
    said = capsys.readouterr().out
    assert "study tiny, nothing wrong" in said and "1 dataset, 1 cell, 2 views, 6 rows" in said
    assert "2 teachers a view, 4 epochs each; cpu, 1 thread a task" in said
    assert f"cell {CELL}: digits, symmetric noise, 0.4 of the labels wrong" in said
    assert PLAIN in said and SGR in said and "1 ours, 1 sgr, 1 selected" in said


def test_check_is_right_about_the_studies_that_are_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).parents[2]
    for path in [root / "params.yaml", *sorted(root.glob("studies/*/params.yaml"))]:
        assert command("check", path.parent, "--no-data") == 0, capsys.readouterr().err


def test_check_tells_a_mistake_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tiny_study()
    wrong["teachers"]["epoch"] = 3
    assert command("check", write_study(tmp_path, wrong)) == 2
    assert "params.yaml: teachers: unknown key 'epoch': did you mean 'epochs'?" in one_error(capsys)


def test_the_study_is_the_folder_where_one_stands(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study)
    assert command("check") == 0 and command("verify") == 0
    assert capsys.readouterr().out.startswith("params.yaml: study tiny")


def test_verify_counts(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("verify", study) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["labels", "1", "3", "0.0"] in rows and ["teachers", "2", "6", "0.0"] in rows
    assert ["all", "whole", "3", "9", "0.0"] in rows


def test_verify_names_the_first_bad_file(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = study / "data" / "teachers" / CELL / "teacher-001-b.bin"
    bad.write_bytes(b"0ld b")
    assert command("verify", study) == 1
    assert one_error(capsys).startswith(f"error: {bad}: sha256 does not match")
    bad.unlink()
    assert command("verify", study) == 1
    assert "teacher-001-b.bin: is missing" in one_error(capsys)


def test_verify_tells_of_an_interrupted_publish(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "data" / "labels" / CELL / "labels.manifest.json.pending").write_bytes(b"")
    assert command("verify", study) == 1
    assert "publishing was interrupted" in one_error(capsys)


def test_nothing_to_verify_is_no_success(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(study / "data")
    for folder in (study, study / "nowhere"):
        assert command("verify", folder) == 2
        assert "holds no artifact; run `dvc repro` or `dvc pull`" in one_error(capsys)


ENDS = [(UserError, 2), (CorruptArtifact, 1), (RobustddError, 1), (KeyboardInterrupt, 130)]


@pytest.mark.parametrize(("failure", "code"), ENDS)
def test_every_command_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: type[BaseException], code: int
) -> None:
    def fail(_: Path) -> None:
        raise failure("interrupted")

    monkeypatch.setattr("robustdd.cli.check.load_study", fail)
    assert command("check") == code
    assert one_error(capsys) == "error: interrupted\n"


def test_a_bug_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robustdd.cli.check.load_study", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        app.main(["check"])


@pytest.mark.parametrize("arguments", [["no-such-command"], ["check", "--no-such-option"], ["check", "a", "b"]])
def test_wrong_usage_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--help") == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in app.COMMANDS)


def test_check_needs_no_torch(study: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from robustdd.cli.app import main; main(['check', *sys.argv[1:]])"
    command = [sys.executable, "-c", code, study, "--no-data"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_as_a_module(study: Path) -> None:
    run = [sys.executable, "-m", "robustdd", "verify", str(study)]
    environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(run, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    (study / "data" / "labels" / CELL / "labels-a.bin").unlink()
    done = subprocess.run(run, capture_output=True, env=environment, check=False)
    assert done.returncode == 1 and done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1
