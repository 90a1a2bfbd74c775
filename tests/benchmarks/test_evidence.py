"""What is told beside the accuracies of a study: every number from its artifacts, and a table of each."""

from __future__ import annotations

import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks import evidence, evidence_draws, evidence_networks, evidence_spread
from benchmarks.evidence_table import as_markdown
from robustdd.params import MATCHED
from robustdd.reporting.records import RowAccuracy
from robustdd.study.load import load_study
from tasks.cache.layout import Layout
from tasks.files import LabelledImages
from tests.support.studies import PLAIN, SGR


@pytest.fixture(scope="module")
def found(built: Path) -> evidence.Found:
    """The record of the tiny study, after its way through JSON."""
    told: evidence.Found = json.loads(json.dumps(evidence.record(load_study(built), Layout(built))))
    return told


def test_what_teachers_know_is_told_for_every_epoch(built: Path, found: evidence.Found) -> None:
    study = load_study(built)
    assert found["views"].keys() == study.views.keys() == {PLAIN, SGR}
    for view in found["views"].values():
        assert len(view["epochs"]) == study.teachers.epochs + 1
        for one in view["epochs"]:
            assert 0 <= one["right"] <= 1 and one["wrong_as_observed"] + one["wrong_as_clean"] <= 1
        assert view["epochs"][0]["step"] is None and all(one["step"] > 0 for one in view["epochs"][1:])
    assert not any(map(any, found["views"][PLAIN]["blends"])), "plain teachers have no blend"
    assert any(map(any, found["views"][SGR]["blends"]))


def test_the_blend_that_was_matched_is_that_of_the_epochs_read(built: Path, found: evidence.Found) -> None:
    blends = found["views"][SGR]["blends"]
    rows = [row for row in found["rows"].values() if row["view"] == SGR and row["method"] in MATCHED]
    assert rows
    for row in rows:
        assert min(map(min, blends)) < row["matched_blend"] < max(map(max, blends))
        assert 0 <= row["start_purity"] <= 1 and row["last_loss"] > 0
    assert all(row["matched_blend"] == 0 for row in found["rows"].values() if row["method"] == "datm")


def test_a_clean_target_that_is_the_teachers_own_lies_at_no_distance(built: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(built, tmp_path / "tiny"))
    study, layout = load_study(copy), Layout(copy)
    length = next(iter(study.recipes.values())).teacher_epochs
    before = evidence_networks.clean_targets(study, layout, SGR)
    assert before["distance"] > 0 and before["cosine"] < 1
    for path in sorted(layout.artifact("finetune", SGR).glob("*.safetensors")):
        own = load_file(layout.artifact("teachers", SGR) / path.name.replace("clean-target", "teacher"))["snapshots"]
        tensors = load_file(path)
        tensors["targets"] = own[tensors["starts"] + length]
        save_file(tensors, path)
    after = evidence_networks.clean_targets(study, layout, SGR)
    assert after["distance"] == 0 and after["cosine"] == pytest.approx(1) and after["count"] == before["count"]
    for name in ("right", "wrong_as_observed", "wrong_as_clean"):
        assert after[f"clean_{name}"] == after[f"own_{name}"]


def test_losses_are_compared_where_the_starts_are_alike(built: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(built, tmp_path / "tiny"))
    study, layout = load_study(copy), Layout(copy)
    ident, row = next((name, row) for name, row in study.rows.items() if row.method == "datm")
    drawn, within = evidence._drawn(study, row), study.recipes[row.recipe].first_max_start
    path = layout.artifact("distill", ident) / "curve.json"
    curve = json.loads(path.read_bytes())
    curve["losses"] = [float(start < within) for _, start in drawn]
    assert sum(curve["losses"]) > 0
    path.write_text(json.dumps(curve))
    told = evidence._row(study, layout, ident, row)
    assert told["first_loss"] == told["last_loss"] == 1.0


def test_other_rules_are_asked_of_the_same_weights(built: Path, found: evidence.Found) -> None:
    (rules,) = found["subsets"].values()
    told = {one["rule"]: one for one in rules}
    notes = json.loads((Layout(built).artifact("subset", SGR) / "reliability.manifest.json").read_bytes())["notes"]
    assert told["used"]["purity"] == pytest.approx(notes["subset"]["purity"])
    same = told[f"rank, ratio {load_study(built).subset.ratio}"]
    assert (same["share"], same["purity"]) == (told["used"]["share"], told["used"]["purity"])


def test_what_another_study_made_has_its_seconds_there(built: Path, tmp_path: Path, found: evidence.Found) -> None:
    copy = Path(shutil.copytree(built, tmp_path / "tiny"))
    study, layout = load_study(copy), Layout(copy)
    record_of = layout.run_record("teachers", PLAIN)
    record_of.unlink()
    name = f"teachers {PLAIN}"
    assert name not in evidence.record(study, layout)["seconds"]
    seconds = evidence.record(study, layout, [Layout(built)])["seconds"]
    assert seconds[name] == found["seconds"][name]
    for path in layout.artifact("teachers", PLAIN).glob("*.manifest.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "key": "another"}))
    assert not evidence._same_artifacts(layout, Layout(built), "teachers", PLAIN)


def test_every_view_row_and_stage_has_its_line(found: evidence.Found) -> None:
    told = as_markdown(found)
    for view in found["views"]:
        assert told.count(f"| {view} |") >= 3
    rows = told[told.index("## The rows") : told.index("## The reliable subset")]
    assert all(f"| {ident[: ident.rindex('-s')]}-s* | 1 |" in rows for ident in found["rows"])
    assert f"| {sum(found['seconds'].values()):.0f} | 100.0 |" in told
    assert "fine-tuning to clean targets" in told


def test_rows_that_differ_in_more_than_their_seed_are_told_apart(found: evidence.Found) -> None:
    row = next(row for row in found["rows"].values() if row["method"] == "datm")
    rows = {name: {**row, "seed": seed} for name, seed in (("a-s0", 0), ("a-s10", 10), ("a-tesla-s0", 0))}
    seconds = {"distill a-s0": 1.0, "distill a-s10": 3.0, "distill a-tesla-s0": 6.0}
    told = as_markdown({**found, "rows": rows, "seconds": seconds})
    assert "| a-s* | 2 |" in told and "| a-tesla-s* | 1 |" in told
    assert "| distill | a-s* | 2 | 2 | 4 | 40.0 |" in told and "| distill | a-tesla-s* | 1 | 6 |" in told


def test_the_shares_are_counted_as_they_are_told() -> None:
    class Says:
        def __call__(self, parameters: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(images.flatten().long(), 3).float()

    images = torch.tensor([0.0, 1, 2, 1, 0]).view(5, 1, 1, 1)
    data = LabelledImages(images, torch.tensor([0, 2, 2, 1, 1]), tuple("abcde"), torch.tensor([0, 1, 0, 1, 2]))
    known = evidence_networks._knows(Says(), torch.zeros(1), data)  # type: ignore[arg-type]
    assert known == pytest.approx({"right": 1.0, "wrong_as_observed": 1 / 3, "wrong_as_clean": 1 / 3})


def test_the_table_is_the_same_when_it_is_made_again_from_the_record(built: Path, tmp_path: Path) -> None:
    assert evidence.main([str(built), "--out", str(tmp_path)]) == 0
    folder = tmp_path / load_study(built).name
    again = as_markdown(json.loads((folder / "evidence.json").read_bytes()))
    assert again == (folder / "evidence.md").read_text()


def test_spreads_are_told_over_what_was_drawn_anew(found: evidence.Found) -> None:
    assert {one["over"] for one in found["spreads"]} == {"evaluation nets"}, "one cell, one distillation seed"
    row = RowAccuracy("", "a", "v", "datm", 10, 0, "small", (0, 1), (0.4, 0.6), 100)
    rows = [
        replace(row, cell=cell, seed=seed, accuracy=(mean - 0.1, mean + 0.1))
        for cell, seed, mean in (("a", 0, 0.5), ("a", 1, 0.6), ("b", 0, 0.3), ("c", 0, 0.4))
    ]
    told = {one["over"]: one for one in evidence_spread._spreads(row, "plain", rows)}
    assert told["evaluation nets"]["sd"] == pytest.approx(0.02**0.5) and told["evaluation nets"]["degrees"] == 4
    assert told["distillation seeds"]["sd"] == pytest.approx(0.005**0.5) and told["distillation seeds"]["values"] == 2
    assert told["noise draws"]["sd"] == pytest.approx(0.1) and told["noise draws"]["degrees"] == 2
    assert "draws and seeds" not in told, "two cells have seed 0"
    apart = [replace(one, seed=seed) for seed, one in enumerate(rows[1:])]
    told = {one["over"]: one for one in evidence_spread._spreads(row, "plain", apart)}
    assert told["draws and seeds"]["sd"] == pytest.approx(statistics.stdev([0.6, 0.3, 0.4]))
    assert not {"noise draws", "distillation seeds"} & told.keys()


def test_a_difference_over_draws_is_the_mean_of_the_draws_own(built: Path) -> None:
    study = load_study(built)
    (name, cell), *_ = study.cells.items()
    drawn = {f"{name}-n{seed}": replace(cell, noise=replace(cell.noise, seed=seed)) for seed in (1, 2)}
    study = replace(study, cells={**study.cells, **drawn, "other": replace(cell, noise=replace(cell.noise, rate=0.1))})
    gains = {name: (0.02, 0.04), f"{name}-n1": (0.01,), f"{name}-n2": (0.05,), "other": (0.3,)}
    rows = []
    for where, (cell_name, own) in enumerate(gains.items()):
        for seed, gain in enumerate(own, 10 * where):
            for method, view, value in (("datm", "plain", 0.4), ("sgr", "sgr", 0.4 + gain)):
                view = f"{cell_name}-{view}"
                ident = f"{view}-{method}-ipc1-s{seed}"
                rows.append(RowAccuracy(ident, cell_name, view, method, 1, seed, "tiny", (0,), (value,), 100))
    (found,) = evidence_draws.over_draws(study, rows)
    assert (found["first"], found["second"]) == ("sgr-sgr-ipc1", "plain-datm-ipc1")
    assert list(found["draws"].values()) == pytest.approx([0.03, 0.01, 0.05]) and found["degrees"] == 2
    reach = 4.302653 * 0.02 / 3**0.5  # Student's quantile of 2 degrees
    assert found["mean"] == pytest.approx(0.03) and found["interval"] == pytest.approx((0.03 - reach, 0.03 + reach))
    told = evidence_draws.as_table(json.loads(json.dumps([found])))
    assert "| sgr-sgr-ipc1 | plain-datm-ipc1 | 3 | +3.0 | \N{MINUS SIGN}2.0 | +8.0 | 2 | not shown" in told
    assert told.endswith("| +3.0, +1.0, +5.0 |")


def test_cells_that_differ_in_the_seed_of_their_noise_alone_are_one_group(built: Path) -> None:
    study = load_study(built)
    (name, cell), *_ = study.cells.items()
    row = RowAccuracy("", name, PLAIN, "datm", 10, 0, "tiny", (0,), (0.4,), 100)
    others = {
        "drawn": replace(cell, noise=replace(cell.noise, seed=5)),
        "worse": replace(cell, noise=replace(cell.noise, rate=0.1)),
    }
    study = replace(study, cells={**study.cells, **others})
    groups = {other: evidence_spread._group(study, replace(row, cell=other)) for other in study.cells}
    assert groups[name] == groups["drawn"] != groups["worse"]
