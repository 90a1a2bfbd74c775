from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import typer
from typer.testing import CliRunner

from robustdd.cli.table import table
from robustdd.errors import CorruptArtifact, UserError
from robustdd.reporting.collect import collect, read_runs, save
from robustdd.reporting.readme import BEGIN, END, measured_on, replace_block, results_block, write_readme
from robustdd.reporting.records import StudyResults
from robustdd.reporting.report import results_json
from tests.support import example_study as example

README = f"# title\n\n{BEGIN}\nold\n{END}\n\nrest\n"
FACTS = {
    "commit": "abc",
    "device": "cpu",
    "threads": 1,
    "torch": "2.13.0",
    "versions": {"torch": "2.13.0"},
    "seconds": 2.5,
    "started": "2026-01-02T00:00:00+00:00",
}
EARLIER = {**FACTS, "commit": "older", "started": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def study():
    return StudyResults("demo", (example.row("datm"), example.row("ours")), example.study().full)


def report(folder, study):
    """Leave what the report stage leaves."""
    place = folder / "data" / "report" / study.name
    place.mkdir(parents=True)
    (place / "results.json").write_text(results_json(study))
    (place / "results.csv").write_text("csv")
    (place / f"images-{study.rows[-1].row}.png").write_bytes(b"picture")
    (place / "suspects-view.csv").write_text("long")
    (place / "report.manifest.json").write_text("{}")
    record(folder, "images", {"train": FACTS, "test": EARLIER, "pulled": {}})
    return folder


def record(folder, ident, units):
    path = folder / "data" / "runs" / "images" / f"{ident}.run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"stage": "images", "id": ident, "units": units}))


def test_results_json_is_read_back_whole(tmp_path, study):
    path = tmp_path / "results.json"
    path.write_text(results_json(study))
    for place in (path, tmp_path):
        (found,) = collect(place)
        assert (found.name, found.rows, found.full) == (study.name, study.rows, study.full)


def test_a_studys_report_comes_with_its_provenance(tmp_path, study):
    (found,) = collect(report(tmp_path, study))
    assert found.rows == study.rows
    (run,) = found.provenance
    assert (run.stage, run.id, run.commit, run.seconds) == ("images", "images", "abc", 5.0)
    assert run.started == EARLIER["started"]


def test_single_accuracies_are_read_where_there_is_no_report_yet(tmp_path, study):
    for row in study.rows:
        path = tmp_path / "data" / "evaluate" / row.row / "accuracy.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(asdict(row)))
    path = tmp_path / "data" / "train-full" / "digits-sym40" / "full.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(asdict(study.full[0])))
    (found,) = collect(tmp_path)
    assert (set(found.rows), found.full) == (set(study.rows), study.full)


def test_nothing_found_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="dvc repro"):
        collect(tmp_path)
    with pytest.raises(UserError, match="no report to save"):
        save(tmp_path, tmp_path / "results")


def test_a_file_that_is_no_results_is_corrupt(tmp_path):
    (tmp_path / "results.json").write_text('{"name": "x", "rows": [{}], "full": []}')
    with pytest.raises(CorruptArtifact, match=r"rows\.0"):
        collect(tmp_path)


def test_pulled_stages_without_facts_have_no_provenance(tmp_path):
    record(tmp_path, "digits", {"train": {}})
    assert read_runs(tmp_path / "data" / "runs") == ()


@pytest.mark.parametrize(
    "units", [{"train": {"commit": "abc"}}, {"train": 3}, {"train": {**FACTS, "seconds": "x"}}, None]
)
def test_a_broken_run_record_is_corrupt(tmp_path, units):
    record(tmp_path, "digits", units)
    with pytest.raises(CorruptArtifact, match="run record"):
        read_runs(tmp_path / "data" / "runs")


def test_saved_results_are_small_and_complete_enough_to_be_collected_again(tmp_path, study):
    (target,) = save(report(tmp_path, study), tmp_path / "results")
    names = {path.name for path in target.iterdir()}
    assert names == {"results.json", "results.csv", "provenance.json", f"images-{study.rows[-1].row}.png"}
    (again,) = collect(tmp_path / "results")
    assert again == collect(tmp_path)[0]


def test_the_readme_block_is_generated_and_nothing_else_is_touched(tmp_path, study):
    save(report(tmp_path, study), tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text(README)
    write_readme(readme, tmp_path / "results")
    once = readme.read_text()
    write_readme(readme, tmp_path / "results")
    assert readme.read_text() == once
    assert once.startswith("# title\n") and once.endswith(f"{END}\n\nrest\n") and "old" not in once
    for told in ("sgr-ours-ipc1-s0", "not shown: one seed", "397 test images", "Measured on cpu", "docs/distilled.png"):
        assert told in once, told
    assert (tmp_path / "docs" / "distilled.png").read_bytes() == b"picture"


def test_without_results_the_block_is_empty(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(README)
    write_readme(readme, tmp_path / "results")
    assert f"{BEGIN}\n{END}" in readme.read_text()
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize("text", ["", BEGIN, END + BEGIN, BEGIN + END + END, BEGIN + BEGIN + END])
def test_a_readme_needs_both_markers_once(text):
    with pytest.raises(UserError, match="each once"):
        replace_block(text, "x")


def test_measured_on_names_every_device_and_commit():
    run = example.run("images", "digits", 60, 1)
    said = measured_on([run, replace(run, device="NVIDIA H100", commit="other")])
    assert (
        "NVIDIA H100 and cpu" in said and "commit e34012377aa0 and other" in said and "2 min 00 s in 2 stages" in said
    )
    assert measured_on([]) == ""


def invoke(*arguments):
    app = typer.Typer()
    app.command()(table)
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False, env={"COLUMNS": "80"})


def test_the_terminal_table_fits_eighty_columns_and_is_not_cut(tmp_path, study):
    report(tmp_path, study)
    shown = invoke(str(tmp_path)).output
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for told in ("demo · digits-sym40", "sgr-ours-ipc1-s0", "eval. nets", "trainings", "known to"):
        assert told in shown, told


@pytest.mark.parametrize(("form", "told"), [("csv", "row,method,ipc"), ("markdown", "| row"), ("latex", r"\toprule")])
def test_other_forms_are_the_plain_table(tmp_path, study, form, told):
    report(tmp_path, study)
    assert told in invoke(str(tmp_path), "--format", form).output
    assert "known to" not in invoke(str(tmp_path), "--format", form).output


def test_save_and_write_readme_in_one_command(tmp_path, study, monkeypatch):
    report(tmp_path, study)
    (tmp_path / "README.md").write_text(README)
    monkeypatch.chdir(tmp_path)
    assert invoke("--save", "results", "--write-readme").exit_code == 0
    assert results_block(collect(tmp_path / "results"), picture=True) in (tmp_path / "README.md").read_text()
