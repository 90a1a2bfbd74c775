"""The detection benchmark on the tiny study: every score is there, nothing runs twice, the table is the records'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import detection
from benchmarks.detection_table import as_markdown
from robustdd.reporting.label_quality import RANKINGS
from tests.support.studies import PLAIN, tiny_study, write_study

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    study = tiny_study()
    study |= {"rows": {}, "recipes": {}}
    study["grid"] |= {"finetune": [], "full": []}
    study["views"].pop(PLAIN)
    arguments = ["--study", str(write_study(folder, study)), "--out", str(folder / "results" / "found.json")]
    try:
        assert detection.main(arguments) == 0
        (folder / "results" / "found.md").unlink()
        assert detection.main([*arguments, "--table"]) == 0
    finally:
        torch.use_deterministic_algorithms(False)
    return folder / "results" / "found.json"


@pytest.fixture
def record(results: Path) -> dict[str, Any]:
    (only,) = json.loads(results.read_bytes())
    return dict(only)


def test_every_ranking_is_scored_overall_and_in_each_class(record: dict[str, Any]) -> None:
    assert record["images"] == 500 and 150 < record["wrong"] < 250
    assert set(record["scores"]) == set(record["by_class"]) == set(RANKINGS)
    assert all(len(scores) == 10 for scores in record["by_class"].values())
    assert record["subset"]["size"] == 300 == sum(record["subset"]["class_sizes"])
    assert record["cleanlab"]["found"] > 0
    assert 0 <= record["forgetting"]["remembered_wrong"] <= record["forgetting"]["remembered_right"] <= 1
    assert len(record["accuracy_on_clean_labels"]) == 2
    assert set(record["seconds"]) == {"labels", "forgetting", "teachers", "consistency", "subset"}


def test_a_second_run_finds_everything_and_changes_nothing(results: Path) -> None:
    before = results.read_bytes()
    folder = results.parent.parent
    assert (folder / "data" / "distill").is_dir()  # DVC asks for it, though nothing is distilled
    try:
        assert detection.main(["--study", str(folder), "--out", str(results)]) == 0
    finally:
        torch.use_deterministic_algorithms(False)
    assert results.read_bytes() == before
    assert results.with_suffix(".md").read_text() == as_markdown(json.loads(before))


def test_the_table_tells_means_and_deviations_over_the_draws(record: dict[str, Any]) -> None:
    first, second = record, json.loads(json.dumps(record))
    second["seeds"]["noise"], second["cell"] = 1, "digits-sym40-again"
    second["scores"]["static"]["auroc"] -= 0.1
    text = as_markdown([first, second])
    mean = first["scores"]["static"]["auroc"] - 0.05
    assert f"| digits-sym40 | 2 | {100 * first['wrong'] / 500:.1f} |" in text
    assert f"{mean:.3f} ± 0.071" in text
    assert "Noise seed 0, 1" in " ".join(text.split()) and "again" not in text
    assert all(title in text for title in RANKINGS.values())
    assert "± 0" not in as_markdown([first])
