"""What the UI shows of a unit: made beside the work, of what the unit is at, and harmless when it cannot be made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from robustdd.params import Noise
from robustdd.reporting.live_page import LivePage, curves, markdown
from robustdd.study.load import load_study
from tasks.cache.layout import Layout
from tasks.cache.unit import Unit
from tasks.watch import live
from tasks.watch import preview as looking
from tasks.watch.live import LiveWatch
from tasks.watch.preview import NO_HOLDOUT, Look, Seen, look_of
from tasks.watch.progress import Told
from tests.support.pipeline import units
from tests.support.studies import CELL, SGR

PNG = b"\x89PNG\r\n\x1a\n"
OURS = f"{CELL}-ours-ipc1-s0"


def page(**other: Any) -> LivePage:
    values = {"where": "iteration 5 of 9", "step_name": "iteration", "losses": [(5, 0.5)], "accuracies": []}
    return LivePage(**{**values, "measured": "told how", **other})


def test_a_page_holds_its_pictures_and_the_newest_accuracy() -> None:
    text = markdown(page(accuracies=[(2, 0.25), (5, 0.425)], picture=PNG, caption="the distilled images"))
    assert text.startswith(
        "iteration 5 of 9\n\n**Accuracy on the noisy hold-out: 42.5 %** after iteration 5\n\ntold how"
    )
    assert text.count("](data:image/png;base64,iVBORw0KGgo") == 2 and "http" not in text
    bare = markdown(page(losses=[]))
    assert "Accuracy" not in bare and "data:" not in bare and "told how" in bare


def test_curves_are_drawn_alone_or_side_by_side() -> None:
    one, two = curves([(1, 2.0), (2, 1.0)], [], "epoch"), curves([(1, 2.0), (2, 1.0)], [(2, 0.5)], "epoch")
    assert one.startswith(PNG) and two.startswith(PNG)
    assert int.from_bytes(two[16:20], "big") == 2 * int.from_bytes(one[16:20], "big")


def distilled(built: Path) -> tuple[Unit, dict[str, Tensor]]:
    (unit,) = units(built, "distill", OURS)
    return unit, load_file(unit.folder / "distilled.safetensors")


def test_a_distilled_set_is_looked_at_with_and_without_a_holdout(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit, tensors = distilled(built)
    look = look_of(unit)
    assert look is not None and look.step_name == "iteration"
    seen = look.see(tensors)
    assert seen.accuracy is None and seen.measured == NO_HOLDOUT
    assert seen.picture is not None and seen.picture.startswith(PNG)
    apart = looking._Distilled(unit)
    monkeypatch.setattr(looking, "_IMAGE_PASSES", 100)
    apart.__dict__["held_out"] = (torch.zeros(7, 1, 8, 8), torch.arange(7))
    seen = apart.see(tensors)
    assert seen.accuracy is not None and seen.accuracy == pytest.approx(1 / 7)  # all are one image: one class is right
    assert "one network of 10 epochs" in seen.measured
    broken = {**tensors, "learning_rate": torch.tensor(-1.0)}
    seen = apart.see(broken)
    assert seen.accuracy is None and "did not train" in seen.measured and seen.picture is not None


def test_a_teacher_is_looked_at_by_its_parameters(built: Path) -> None:
    unit = units(built, "teachers", SGR)[0]
    look = look_of(unit)
    assert look is not None and look.step_name == "epoch" and look.see({}).measured == NO_HOLDOUT
    snapshots = load_file(unit.folder / "teacher-000.safetensors")["snapshots"]
    apart = looking._Teacher(unit)
    apart.__dict__["held_out"] = (torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64))
    assert apart.see({"parameters": snapshots[-1]}).accuracy in (0.0, 1.0)
    assert look_of(units(built, "consistency", SGR)[0]) is None


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What would have been sent to a server."""
    found: dict[str, list[Any]] = {"progress": [], "page": []}

    def progress(percent: float, key: str, description: str, _sync: bool) -> str:
        found["progress"].append((percent, key))
        return "id"

    def made(text: str, key: str, description: str, _sync: bool) -> str:
        found["page"].append((text, key))
        return "id"

    monkeypatch.setattr(live, "create_progress_artifact", progress)
    monkeypatch.setattr(live, "update_progress_artifact", lambda _, percent, **__: found["progress"].append(percent))
    monkeypatch.setattr(live, "create_markdown_artifact", made)
    monkeypatch.setattr(live, "LEAST_SECONDS", 0.0)
    return found


def test_the_last_step_of_a_unit_is_sent_under_a_key_that_prefect_takes(
    built: Path, sent: dict[str, list[Any]]
) -> None:
    unit, tensors = distilled(built)
    watch = LiveWatch(unit)
    for step in (1, 2, 3):
        watch(Told("distilled", step, 3, {"loss": 1 / step}), tensors)
    watch.close()
    assert sent["progress"] == [(100.0, f"distill-{OURS}-distilled-progress")]
    ((text, key),) = sent["page"]
    assert key == f"distill-{OURS}-distilled" and text.startswith("iteration 3 of 3, loss 0.3333\n")
    assert text.count("data:image/png") == 2


def test_what_cannot_be_made_or_sent_is_one_line_and_no_more(
    built: Path, sent: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Mapping[str, Tensor]) -> Seen:
        raise ValueError("no such colour\nsecond line")

    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("All connection attempts failed")

    monkeypatch.setattr(live, "create_progress_artifact", lost)
    monkeypatch.setattr(live, "EVERY_SECONDS", 0.01)
    unit, tensors = distilled(built)
    with caplog.at_level(logging.INFO, "robustdd.run"):
        watch = LiveWatch(unit, Look("iteration", broken))
        for step in (1, 2, 3):
            watch(Told("distilled", step, 3, {}), tensors)
            watch._over.wait(0.1)
        watch.close()
    assert sorted(caplog.messages) == [
        "distilled: its page in the UI ends here (no such colour); the run goes on",
        "distilled: its progress in the UI ends here (All connection attempts failed); the run goes on",
    ]


def test_a_unit_that_tells_nothing_costs_no_thread(built: Path, sent: dict[str, list[Any]]) -> None:
    watch = LiveWatch(distilled(built)[0])
    watch.close()
    assert watch._thread is None and sent == {"progress": [], "page": []}


@pytest.mark.parametrize(
    ("noise", "name"),
    [
        (Noise("symmetric", 0.4), "symmetric-0.4"),
        (Noise("none"), "none"),
        (Noise("human", annotation="worse"), "human-worse"),
        (Noise("matrix"), "matrix"),
    ],
)
def test_a_noise_has_a_name(noise: Noise, name: str) -> None:
    from robustdd.study.graph import noise_name

    assert noise_name(noise) == name


def test_every_stage_says_what_it_is_about(built: Path) -> None:
    from flows.naming import about

    study, layout = load_study(built), Layout(built)
    row = about(study, "distill", OURS, layout)
    assert row.title == f"distill {OURS}: digits, symmetric-0.4, sgr, ours, IPC 1, seed 0"
    assert row.unit_title("distilled") == "distilled: digits, symmetric-0.4, sgr, ours, IPC 1, seed 0"
    assert set(row.tags) == {
        *("study:tiny", "stage:distill", f"id:{OURS}", "dataset:digits", "noise:symmetric-0.4"),
        *("weights:sgr", "method:ours", "ipc:1", "seed:0"),
    }
    assert about(study, "teachers", SGR, layout).title == f"teachers {SGR}: digits, symmetric-0.4, sgr"
    assert about(study, "images", "digits", layout).title == "images digits"
    assert about(study, "report", "tiny", layout).title == "report tiny"
