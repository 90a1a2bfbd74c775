"""One stage, once: exit codes, one line for every mistake, one writer, and what the run record says."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from threading import Event

import pytest
import torch

from flows import stage
from robustdd.errors import RobustddError
from tasks.cache.cache import task_of
from tasks.cache.code import module_of
from tasks.cache.layout import Layout
from tests.support.pipeline import CODE, bits, change, names, run, stages
from tests.support.studies import CELL, PLAIN, SGR, tiny_study


@pytest.fixture
def in_process(study: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the study is the working directory; logger and torch are put back afterwards."""
    logger = logging.getLogger("robustdd")
    kept = (logger.handlers[:], logger.level, logger.propagate)
    logger.handlers = []  # an earlier test's handler writes to a stream that nobody reads any more
    logger.propagate = True
    monkeypatch.chdir(study)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    yield study
    logger.handlers, logger.propagate = kept[0], kept[2]
    logger.setLevel(kept[1])
    torch.use_deterministic_algorithms(False)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines on standard error; nothing may stand on standard output."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_a_stage_tells_its_counts_in_its_last_line(in_process: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_process / f"data/teachers/{SGR}/teacher-000.json").unlink()
    assert stage.main(["teachers", SGR, "--workers", "2"]) == 0
    lines = said(capsys)
    assert lines[0] == f"teachers {SGR}: no Prefect server; the tasks run directly, with the same cache"
    assert "teacher-000.json: is missing" in lines[1] and lines[1].endswith("it is made again")
    assert lines[-1].startswith(f"teachers {SGR}: 1 executed, 1 cached, ") and len(lines) == 3


def test_lines_are_shown_beside_the_handler_of_another(in_process: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pytest, for one, hangs a handler on every logger that does not propagate."""
    logging.getLogger("robustdd").addHandler(logging.StreamHandler(StringIO()))
    assert stage.main(["labels", CELL]) == 0
    assert len(said(capsys)) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["labels", "nowhere"], 2, "error: labels: unknown cell 'nowhere': known are digits-sym40"),
        (["labels", "digits-sym04"], 2, "error: labels: unknown cell 'digits-sym04': did you mean 'digits-sym40'?"),
        (["lables", CELL], 2, "error: unknown stage 'lables': did you mean 'labels'? known are "),
        (["labels", "../x"], 2, "error: id '../x' is not allowed; expected "),
        (["consistency", PLAIN], 2, "error: consistency: unknown view 'digits-sym40-plain'"),
        (["labels", CELL, "--workers", "0"], 2, "error: --workers: expected 1 or more, found 0"),
        (["labels", CELL, "--workers", "-3"], 2, "error: --workers: expected 1 or more, found -3"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    in_process: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, line: str
) -> None:
    before = bits(in_process)
    assert stage.main(arguments) == code
    (told,) = said(capsys)
    assert told.startswith(line) and bits(in_process) == before


def test_a_missing_input_is_one_line_and_exit_2(in_process: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(in_process / "data/images")
    assert stage.main(["labels", CELL]) == 2
    assert said(capsys)[1:] == [
        "error: train of images digits is missing; run `dvc repro images@digits` or `dvc pull` first"
    ]


def test_a_tampered_input_is_one_line_and_exit_1(in_process: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = in_process / "data/images/digits/train.parquet"
    path.write_bytes(path.read_bytes() + b"!")
    assert stage.main(["labels", CELL]) == 1
    (error,) = said(capsys)[1:]
    assert error.startswith(f"error: {path}: sha256 does not match its manifest; ")


def test_a_wrong_params_file_is_one_line_and_exit_2(in_process: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_process / "params.yaml").write_text("name: [")
    assert stage.main(["labels", CELL]) == 2
    (error,) = said(capsys)
    assert error.startswith("error: ") and "params.yaml" in error


def test_a_diverging_task_is_one_line_and_exit_1_and_leaves_the_old_artifact(
    in_process: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bits(in_process)
    params = tiny_study()
    params["train_full"]["learning_rate"] = 1e30
    change(in_process, params)
    assert stage.main(["train-full", CELL, "--workers", "1"]) == 1
    lines = said(capsys)
    assert len(lines) == 2 and lines[1].startswith("error: ") and "finite" in lines[1]
    assert bits(in_process) == before


def test_ctrl_c_is_one_line_and_exit_130(
    in_process: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.stages.labels.observe", interrupt)
    shutil.rmtree(in_process / "data/labels")
    assert stage.main(["labels", CELL]) == 130
    assert said(capsys)[-1] == "error: interrupted; what is finished is kept"


def test_the_other_tasks_of_a_wave_are_finished_when_one_fails(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.stages import teachers

    original = teachers.train_teacher

    def fail_first(*arguments: object) -> object:
        if arguments[8] == 0:
            raise RobustddError("teacher 0 fails")
        return original(*arguments)  # type: ignore[arg-type]

    before = bits(study)
    shutil.rmtree(study / "data/teachers" / SGR)
    monkeypatch.setattr(teachers, "train_teacher", fail_first)
    with pytest.raises(RobustddError, match="teacher 0 fails"):
        run(study, "teachers", SGR, workers=2)
    monkeypatch.setattr(teachers, "train_teacher", original)
    assert names(run(study, "teachers", SGR)) == ["teacher-000"] and bits(study) == before


def test_the_run_record_keeps_what_made_a_cached_unit(study: Path) -> None:
    path = Layout(study).run_record("teachers", SGR)
    first = json.loads(path.read_bytes())
    assert (
        first["stage"] == "teachers" and first["id"] == SGR and list(first["units"]) == ["teacher-000", "teacher-001"]
    )
    facts = first["units"]["teacher-000"]
    told = {"commit", "device", "threads", "torch", "python", "versions", "started", "seconds", "arithmetic"}
    assert told == set(facts) and facts["arithmetic"] == "native"
    assert facts["threads"] == 1 and facts["torch"] == torch.__version__ and facts["versions"]["dvc"]
    (study / f"data/teachers/{SGR}/teacher-001.json").unlink()
    run(study, "teachers", SGR)
    second = json.loads(path.read_bytes())
    assert second["units"]["teacher-000"] == facts
    path.unlink()
    run(study, "teachers", SGR)
    assert json.loads(path.read_bytes())["units"] == {"teacher-000": {}, "teacher-001": {}}


def test_what_a_failing_server_was_not_told_counts_as_executed(
    in_process: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server is lost when the first teacher is made and nobody has heard of it yet."""
    from flows import running

    def lost(_: object, waves: running.Waves, *__: object) -> None:
        for unit in next(waves())[:1]:
            assert not task_of(unit).direct(unit).cached
        raise ConnectionError("gone")

    shutil.rmtree(in_process / "data/teachers" / SGR)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(running, "answers", lambda url: True)
    monkeypatch.setattr(running, "_live", lost)
    monkeypatch.setattr(running, "SERVER_LOST", Event())
    assert stage.main(["teachers", SGR]) == 0
    lines = said(capsys)
    assert lines[0] == f"teachers {SGR}: the Prefect server failed (gone); going on without it"
    assert lines[-1].startswith(f"teachers {SGR}: 2 executed, 0 cached, ")
    assert running.SERVER_LOST.is_set()
    units = json.loads(Layout(in_process).run_record("teachers", SGR).read_bytes())["units"]
    assert units["teacher-000"]["seconds"] > 0 and units["teacher-001"]["seconds"] > 0


def test_a_stage_that_is_killed_loses_neither_artifacts_nor_what_is_known_of_them(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import stage as module

    def killed(*_: object) -> None:
        raise SystemExit("killed before the record is written")

    layout = Layout(study)
    shutil.rmtree(study / "data/teachers" / SGR)
    layout.run_record("teachers", SGR).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_record", killed)
        with pytest.raises(SystemExit):
            run(study, "teachers", SGR)
    assert names(run(study, "teachers", SGR)) == []
    units = json.loads(layout.run_record("teachers", SGR).read_bytes())["units"]
    assert all(facts["seconds"] > 0 for facts in units.values()) and len(units) == 2
    assert not layout.made(layout.place("teachers", SGR)).exists()


def test_stages_in_dvc_yaml_params_and_code_are_the_same(built: Path) -> None:
    assert {name for name, _ in stages(built)} == set(stage.STAGES)
    for name in stage.STAGES:
        assert (CODE / f"{module_of(name).replace('.', '/')}.py").is_file()
