"""Keys: what they hold, what they leave out, and what no unit may read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from robustdd.errors import CorruptArtifact, UserError
from robustdd.params import Network, Noise
from robustdd.store.artifacts import digest, publish, read_manifest
from robustdd.study.load import load_study
from tasks.cache import unit as units_module
from tasks.cache.layout import Layout
from tasks.cache.unit import Input, Unit, key_of, plain
from tasks.stages.teachers import maxima_of, teacher_params
from tests.support.pipeline import all_units, change, keys, units
from tests.support.studies import CELL, PLAIN, SGR, tiny_study

READS_TEST = ("evaluate.train", "train-full.train")


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    layout = Layout(tmp_path)
    publish(
        tmp_path / "data/images/d",
        "train",
        {"b.json": b"2", "a.json": b"1"},
        task="t.t",
        key="0" * 64,
        params={},
        inputs={},
        code="0" * 64,
    )
    inputs = {"train": Input(layout.artifact("images", "d"), "train")}
    return Unit("labels.observe", layout.place("labels", "c"), "labels", {"noise": Noise("none"), "n": 1}, inputs)


def test_a_key_is_made_of_values_input_bytes_and_code(unit: Unit) -> None:
    key = key_of(unit)
    folder = unit.inputs["train"].folder
    assert key.inputs == {"train/a.json": digest(folder / "a.json"), "train/b.json": digest(folder / "b.json")}
    assert key.params == {"n": 1, "noise": plain(Noise("none"))} and len(key.key) == len(key.code) == 64
    assert key_of(replace(unit, params=dict(reversed(unit.params.items())))) == key


@pytest.mark.parametrize(
    "params", [{"n": 1}, {"noise": Noise("none"), "n": 2}, {"noise": Noise("none", seed=1), "n": 1}]
)
def test_another_value_is_another_key(unit: Unit, params: dict[str, object]) -> None:
    assert key_of(replace(unit, params=params)).key != key_of(unit).key


def test_another_task_code_or_schema_is_another_key(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(unit).key
    assert key_of(replace(unit, task="labels.other")).key != before
    with monkeypatch.context() as patch:
        patch.setattr(units_module, "code_hash", lambda name: "1" * 64)
        assert key_of(unit).key != before
    monkeypatch.setattr(units_module, "KEY_SCHEMA", units_module.KEY_SCHEMA + 1)
    assert key_of(unit).key != before


def test_place_and_name_are_not_in_the_key(unit: Unit) -> None:
    elsewhere = Layout(Path("/somewhere")).place("labels", "other")
    assert key_of(replace(unit, place=elsewhere)).key == key_of(unit).key


def test_a_missing_input_names_the_stage_that_makes_it(unit: Unit) -> None:
    (unit.inputs["train"].folder / "train.manifest.json").unlink()
    with pytest.raises(
        UserError, match=r"^train of images d is missing; run `dvc repro images@d` or `dvc pull` first$"
    ):
        key_of(unit)


def test_a_tampered_input_is_no_input(unit: Unit) -> None:
    (unit.inputs["train"].folder / "a.json").write_bytes(b"3")
    with pytest.raises(CorruptArtifact, match=r"a\.json: sha256 does not match"):
        key_of(unit)


def test_plain_is_what_json_knows() -> None:
    value = {"network": Network(8, 2), "seeds": (0, 1), "none": None, "deep": {"tuple": ((1, 2), [3])}}
    assert plain(value) == json.loads(json.dumps(plain(value)))
    assert plain(value) == {
        "network": {"width": 8, "depth": 2},
        "seeds": [0, 1],
        "none": None,
        "deep": {"tuple": [[1, 2], [3]]},
    }


def test_test_labels_are_an_input_of_evaluate_and_train_full_alone(built: Path) -> None:
    made = [unit for found in all_units(built).values() for unit in found]
    assert len(made) > 40
    assert {unit.task for unit in made if "test" in unit.inputs} == set(READS_TEST)
    test = read_manifest(built / "data/images/digits", "test").files
    digests = {facts["sha256"] for facts in test.values()}
    for unit in made:
        reads = digests & set(read_manifest(unit.folder, unit.name).inputs.values())
        assert bool(reads) == (unit.task in READS_TEST), unit.name
        assert ("test" in {needed.name for needed in unit.inputs.values()}) == (unit.task in READS_TEST)


def test_manifests_hold_what_the_key_is_made_of(built: Path) -> None:
    for (stage, ident), found in all_units(built).items():
        for unit in found:
            manifest, key = read_manifest(unit.folder, unit.name), key_of(unit)
            assert (manifest.key, manifest.code) == (key.key, key.code)
            assert (dict(manifest.params), dict(manifest.inputs)) == (key.params, key.inputs), f"{stage} {ident}"


def test_a_teacher_knows_neither_the_number_of_teachers_nor_neighbours_it_does_not_ask() -> None:
    from tests.support.pipeline import CODE

    study = load_study(CODE)
    more = replace(study, teachers=replace(study.teachers, num_teachers=7))
    assert teacher_params(study, "digits-sym40-sgr", 0, 0.0) == teacher_params(more, "digits-sym40-sgr", 0, 0.0)
    other = replace(study, neighbours=replace(study.neighbours, k=3))
    assert teacher_params(study, "digits-sym40-sgr", 0, 0.0) == teacher_params(other, "digits-sym40-sgr", 0, 0.0)
    assert teacher_params(study, "digits-sym40-sgr", 1, 0.5) != teacher_params(other, "digits-sym40-sgr", 1, 0.5)
    assert teacher_params(study, "digits-sym40-sgr", 1, 0.5) != teacher_params(study, "digits-sym40-sgr", 2, 0.5)


@pytest.mark.parametrize(
    ("weights", "maximum", "expected"),
    [
        ("plain", None, (0.0,) * 4),
        ("oracle", None, (0.0,) * 4),
        ("ssft", None, (0.0,) * 4),
        ("knn", None, (1.0,) * 4),
        ("fixed", 0.5, (0.5,) * 4),
        ("sgr", None, (0.0, 0.25, 0.5, 0.75)),
        ("literal", None, (0.0, 0.25, 0.5, 0.75)),
    ],
)
def test_blend_maxima_of_every_kind_of_view(weights: str, maximum: float | None, expected: tuple[float, ...]) -> None:
    from tests.support.pipeline import CODE

    study = load_study(CODE)
    view = replace(study.views["digits-sym40-sgr"], weights=weights, blend_maximum=maximum)
    assert maxima_of(view, replace(study.teachers, num_teachers=4)) == expected


def test_equal_units_of_two_views_share_a_key(study: Path) -> None:
    params = tiny_study()
    params["views"]["again"] = dict(params["views"][PLAIN])
    change(study, params)
    first, second = ([key_of(unit).key for unit in units(study, "teachers", view)] for view in (PLAIN, "again"))
    assert first == second and len(set(first)) == 2


def test_threads_are_in_the_key_of_everything_that_computes(study: Path) -> None:
    before, params = keys(study), tiny_study()
    change(study, {**params, "threads": 2})
    after = keys(study)
    same = {name for name in before if before[name] == after[name]}
    joins = {name for name in before if name.split()[-1] in ("full", "accuracy")}
    assert same == joins | {
        *(f"images digits {name}" for name in ("train", "test", "whitening")),
        f"labels {CELL} labels",
        f"forgetting {CELL} forgetting",
        f"subset {SGR} reliability",
        "report tiny report",
    }
