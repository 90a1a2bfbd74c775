"""dvc.yaml against the code: every file, value and artifact that a stage depends on, and none that it does not."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from robustdd.errors import UserError
from robustdd.params import Study
from robustdd.store.artifacts import read_manifest
from robustdd.study.graph import STAGES, Place, needs, places
from robustdd.study.load import load_study
from tasks.cache.code import closure, module_of
from tasks.cache.layout import Layout
from tasks.cache.unit import Unit, input_digests, plain
from tests.support.dvc_project import Resolved, resolved, stages_of_dvc
from tests.support.pipeline import CODE, all_units, stages
from tests.support.studies import CELL, PLAIN, SGR, tiny_study

TWINS = {"dataset": "datasets", "cell": "cells", "view": "views", "recipe": "recipes"}
"""Keys whose values are ids, and the sections of what they name: they are pointed at a twin under another id."""

SEEN_IN_ARTIFACTS = {"test_set": "data/images"}
"""Values that leave or take away an artifact: whoever depends on its folder sees them."""


BESIDE_MODULES = {"report": ["${root}/robustdd/templates/report.html"]}
"""Files that a stage reads from the code without importing them."""


def test_dvc_yaml_has_the_stages_of_the_code() -> None:
    assert sorted(stages_of_dvc()) == sorted(["code", *STAGES])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_record_of_its_own_code(stage: str) -> None:
    written = stages_of_dvc()[stage]
    deps = written.get("do", written)["deps"]
    assert [dep for dep in deps if dep.startswith("data/code")] == [f"data/code/{stage}.json"]
    assert [dep for dep in deps if dep.startswith("${root}/")] == BESIDE_MODULES.get(stage, [])


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_reaches_the_code_of_another(stage: str) -> None:
    others = {module_of(other) for other in STAGES if other != stage}
    assert not others & set(closure(module_of(stage))), "an edit of the one would make the other's artifacts anew"


def test_all_code_that_is_recorded_lies_where_dvc_looks() -> None:
    written = stages_of_dvc()["code"]
    folders = [CODE / dep.removeprefix("${root}/") for dep in written["deps"]]
    files = [path for stage in STAGES for path in closure(module_of(stage)).values()]
    assert len(files) > 200 and all(any(path.is_relative_to(folder) for folder in folders) for path in files)
    assert set().union(*written["outs"]) == {f"data/code/{stage}.json" for stage in STAGES}


def instances() -> dict[tuple[str, str], Resolved]:
    """The stages of tasks of the tiny study."""
    return {place: found for place, found in resolved(tiny_study()).items() if place[0] != "code"}


def test_every_id_of_the_study_has_its_stage(built: Path) -> None:
    assert set(instances()) == set(places(load_study(built)))
    assert {found.cmd for found in instances().values()} == {"python -m flows.stage"}


def test_no_command_holds_a_value_of_params_yaml() -> None:
    """DVC hands a command to a shell."""
    assert [name for name, stage in stages_of_dvc().items() if "$" in stage.get("do", stage)["cmd"]] == []


def test_every_out_persists_and_lies_where_the_task_puts_it(built: Path) -> None:
    layout = Layout(built)
    for (stage, ident), found in instances().items():
        expected = {layout.artifact(stage, ident), layout.run_record(stage, ident)}
        if stage == "report":
            expected.add(layout.page())
        assert {built / out for out in found.outs} == expected
        assert all(flags == {"persist": True} for flags in found.outs.values()), f"{stage}: DVC would delete its cache"
        assert all(path.exists() for path in expected)


STUDIES = [CODE, *sorted(path.parent for path in (CODE / "studies").glob("*/params.yaml"))]
NAMES = [path.name if path != CODE else "demo" for path in STUDIES]


@pytest.mark.parametrize("folder", STUDIES, ids=NAMES)
def test_a_study_holds_every_key_that_dvc_asks_for(folder: Path) -> None:
    """As DVC reads it: the defaults of the code are not known to it."""
    study = YAML(typ="safe").load((folder / "params.yaml").read_text())
    found = resolved(study)
    for place, instance in found.items():
        for key in instance.params:
            value: Any = study
            for part in key.split("."):
                assert part in value, f"{place}: {key}"
                value = value[part]
    assert (folder / study["root"]).resolve() == CODE
    outs = {out for instance in found.values() for out in instance.outs}
    made = outs | {str(Path(out).parent) for out in outs}
    reads = {dep for instance in found.values() for dep in instance.deps if dep.startswith("data/")}
    # A folder that no stage of this study fills: the first stage that runs makes it, for DVC wants it to exist.
    assert reads - made <= {f"data/{stage}" for stage in STAGES}


def test_every_folder_of_studies_is_a_study_with_a_copy_of_the_one_template() -> None:
    """A file and no link: DVC reads a link's text as YAML wherever it looks at a git revision."""
    for folder in sorted(path for path in (CODE / "studies").iterdir() if path.is_dir()):
        assert (folder / "params.yaml").is_file() and not (folder / "dvc.yaml").is_symlink(), folder.name
        assert (folder / "dvc.yaml").read_bytes() == (CODE / "dvc.yaml").read_bytes(), folder.name


def within(path: Path, deps: tuple[str, ...], root: Path) -> bool:
    own = path.relative_to(root)
    return any(Path(dep) in (own, *own.parents) for dep in deps)


def test_dvc_sees_every_input_of_every_unit(built: Path) -> None:
    """By a folder that the stage names, or through a manifest in such a folder that lists all its digests."""
    missing = []
    for place, made in all_units(built).items():
        deps = instances()[place].deps
        named = [manifest for dep in deps for manifest in (built / dep).rglob("*.manifest.json")]
        listed: set[str] = set()
        for path in named:
            listed |= set(read_manifest(path.parent, path.name.removesuffix(".manifest.json")).inputs.values())
        for unit in made:
            for label, needed in unit.inputs.items():
                own = needed.folder == unit.folder
                seen = within(needed.folder, deps, built) or set(input_digests(needed).values()) <= listed
                if not own and not seen:
                    missing.append(f"{place[0]} {place[1]}: {unit.name} reads {label}")
    assert missing == []


def test_dvc_orders_every_stage_after_those_it_reads(built: Path) -> None:
    """Following the deps from a stage backwards must come by every stage whose artifact it reads."""
    found = instances()

    @cache
    def before(place: tuple[str, str]) -> frozenset[tuple[str, str]]:
        near = named(found, place)
        return near.union(*(before(other) for other in near))

    for place, made in all_units(built).items():
        read = {(needed.folder.parent.name, needed.folder.name) for unit in made for needed in unit.inputs.values()}
        assert read - {place} <= before(place)


def reached(places: Iterable[Place], near: Callable[[Place], Iterable[Place]]) -> set[Place]:
    """All that is come by from `places`, these included."""
    found: set[Place] = set()
    waiting = [*places]
    while waiting:
        place = waiting.pop()
        waiting += [] if place in found else near(place)
        found.add(place)
    return found


def test_dvc_yaml_is_the_graph(built: Path) -> None:
    """What a stage of the one names, it reads in the other, if need be by way of a third."""
    found, graph = instances(), needs(load_study(built))
    for place in found:
        assert graph[place] <= reached([place], lambda other: named(found, other)), place
        images = {other for other in found if other[0] == "images"}  # named as a folder: labels need no whitening
        assert named(found, place) <= reached([place], graph.__getitem__) | images, place


def named(found: dict[tuple[str, str], Resolved], place: tuple[str, str]) -> frozenset[tuple[str, str]]:
    """The stages whose artifacts a stage names."""
    deps = {Path(dep) for dep in found[place].deps}
    outs = {
        other: {way for out in instance.outs for way in (Path(out), *Path(out).parents)}
        for other, instance in found.items()
    }
    return frozenset(other for other, ways in outs.items() if deps & ways)


def leaves(section: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every value of a study."""
    if dataclasses.is_dataclass(section):
        for field in dataclasses.fields(section):
            yield from leaves(getattr(section, field.name), (*way, field.name))
    elif isinstance(section, dict):
        for key, inner in section.items():
            yield from leaves(inner, (*way, key))
    else:
        yield way


def put(section: Any, way: tuple[str, ...], new: Any = None) -> Any:
    """The section with `new` at `way`, or with another value than there is."""
    name, rest = way[0], way[1:]
    if isinstance(section, dict):
        return {**section, name: put(section[name], rest, new)}
    value = getattr(section, name)
    if rest:
        return dataclasses.replace(section, **{name: put(value, rest, new)})
    choices = typing.get_args(typing.get_type_hints(type(section))[name])
    return dataclasses.replace(section, **{name: other(value, choices) if new is None else new})


def pointed_at_a_twin(study: Study, way: tuple[str, ...]) -> Study:
    """The study with another id at `way`, of an entry that says the same; a data set's has another whitening.

    Whitening alone leaves the training images, and with them the labels, as they are.
    """
    section = getattr(study, TWINS[way[-1]])
    there = study
    for name in way:
        there = there[name] if isinstance(there, dict) else getattr(there, name)
    twin = section[there]
    if way[-1] == "dataset":
        twin = put(twin, ("whitening",))
    return put(dataclasses.replace(study, **{TWINS[way[-1]]: {**section, "twin": twin}}), way, "twin")


def other(value: Any, choices: tuple[Any, ...]) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2 + 0.01
        case tuple():
            return (*value, 7)
        case None:
            return 0.5
        case _:
            return next((choice for choice in choices if choice != value), f"{value}x")


def asked(study: Study, places: list[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """What every stage's units are, the labels of what they read, and whose whitening that is."""
    layout = Layout(Path("/nowhere"))

    def told(unit: Unit) -> Any:
        reads = [(label, needed.folder.name * (label == "whitening")) for label, needed in sorted(unit.inputs.items())]
        return unit.task, unit.name, reads, {name: plain(value) for name, value in unit.params.items()}

    found = {}
    for stage, ident in places:
        module = importlib.import_module(module_of(stage))
        try:
            found[stage, ident] = [told(unit) for wave in module.waves(study, ident, layout) for unit in wave]
        except UserError as refusal:  # of another kind of data set, which may not lie here
            found[stage, ident] = str(refusal)
    return found


@dataclasses.dataclass(frozen=True)
class Change:
    """The study with one other value, and the stages whose units differ by it."""

    study: Study
    places: set[tuple[str, str]]


def changing(built: Path) -> dict[tuple[str, ...], Change]:
    """For every value of the study but its name and the grid, which decides what stages there are."""
    study, places = load_study(built), stages(built)
    before = asked(study, places)
    found = {}
    for way in leaves(study):
        if way[0] not in ("grid", "name"):
            changed = pointed_at_a_twin(study, way) if way[-1] in TWINS else put(study, way)
            after = asked(changed, places)
            found[way] = Change(changed, {place for place in places if after[place] != before[place]})
    return found


def covers(key: str, way: tuple[str, ...]) -> bool:
    parts = tuple(key.split("."))
    return way[: len(parts)] == parts or parts[: len(way)] == way


def test_dvc_sees_every_value_that_a_unit_depends_on(built: Path) -> None:
    """By a key or a folder that the stage names, or because what it names has another key then, too."""
    found = resolved(plain(load_study(built)))
    unseen = []
    for way, change in changing(built).items():
        after = resolved(plain(change.study))
        unseen += [
            f"{stage}@{ident} depends on {'.'.join(way)}"
            for stage, ident in change.places
            if not any(covers(key, way) for key in found[stage, ident].params)
            and not change.places & named(found, (stage, ident))
            and after[stage, ident] == found[stage, ident]
            and SEEN_IN_ARTIFACTS.get(way[-1]) not in found[stage, ident].deps
        ]
    assert unseen == []


def test_the_values_that_matter_are_found_where_they_should(built: Path) -> None:
    """The test above would pass on nothing: some that are known by hand."""
    found = {way: change.places for way, change in changing(built).items()}
    rows = list(tiny_study()["rows"])
    assert found["neighbours", "k"] == {("teachers", SGR), ("consistency", SGR), ("report", "tiny")}
    assert found["evaluate", "momentum"] == {*(("evaluate", row) for row in rows), ("report", "tiny")}
    assert found["views", PLAIN, "weights"] >= {("teachers", PLAIN)}
    assert found["forgetting", "learn_share"] == {("forgetting", CELL), ("report", "tiny")}
    assert found["root",] == set() and found["device",] >= {("finetune", SGR), ("train-full", CELL)}
    assert found["rows", rows[0], "recipe"] == {("evaluate", rows[0]), ("report", "tiny")}
    whitened = found["cells", CELL, "dataset"]
    assert whitened >= {("forgetting", CELL), ("train-full", CELL)} and ("labels", CELL) not in whitened


def test_no_params_key_of_a_stage_is_without_effect(built: Path) -> None:
    """For one of its ids at least: the template of a stage is the same for all."""
    matter = changing(built)
    keys: dict[str, list[bool]] = {}
    for (stage, ident), instance in instances().items():
        for written, key in zip(templates(stage), instance.params, strict=True):
            effect = any(covers(key, way) and (stage, ident) in change.places for way, change in matter.items())
            keys.setdefault(f"{stage}: {written}", []).append(effect)
    idle = {name for name, effects in keys.items() if not any(effects)}
    # The page shows these, though no table does; and the grid decides whether the other folders hold anything.
    assert idle <= {f"report: {name}" for name in ("name", "grid", "device", "threads")}


def templates(stage: str) -> list[str]:
    written = stages_of_dvc()[stage]
    found: list[str] = written.get("do", written)["params"]
    return found
