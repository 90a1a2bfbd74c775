"""The noisy hold-out reaches nothing but the measuring of the evaluation, and images left out reach nothing at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from robustdd.data.split import draw_holdout, draw_used
from robustdd.data.whitening import fit
from robustdd.params import Dataset
from robustdd.store.artifacts import publish, read_manifest
from tasks.cache.cache import task_of
from tasks.files import column, parquet, read_table
from tests.support.pipeline import bits, built_once, names, run, run_all, stages, units
from tests.support.studies import CELL, tiny_study, write_study

OURS = f"{CELL}-ours-ipc1-s0"
HELD, USED = 0.2, 0.6
KINDS = ("forgetting", "teachers", "consistency", "subset", "finetune", "distill")


def study_apart() -> dict[str, Any]:
    """The tiny study with a fifth of its training images held out, another fifth left out, and two rows."""
    params = tiny_study()
    params["datasets"]["digits"] |= {"holdout": HELD, "train_share": USED}
    params["rows"] = {row: params["rows"][row] for row in (OURS, f"{CELL}-random-ipc1-s0")}
    return params


@pytest.fixture(scope="session")
def built_apart(shared: Path) -> Path:
    """That study up to the distilled sets; read only."""
    but = ("evaluate", "train-full", "report")
    return built_once(shared / "apart" / "tiny", lambda folder: bool(run_all(write_study(folder, study_apart()), but)))


@pytest.fixture
def apart(built_apart: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(built_apart, tmp_path / "tiny"))


def test_only_the_used_images_reach_later_stages(built_apart: Path) -> None:
    data = built_apart / "data"
    table = read_table(data / f"labels/{CELL}/labels.parquet")
    held, used = column(table, "holdout"), column(table, "used")
    rest = {one for one, flag in zip(table["id"].to_pylist(), used.tolist(), strict=True) if flag}
    assert len(table) == 500 and held.sum() == 100 and len(rest) == 300 and not (held & used).any()
    seen = [
        *data.glob("forgetting/*/*.parquet"),
        *data.glob("consistency/*/*.parquet"),
        *data.glob("subset/*/*.parquet"),
    ]
    assert len(seen) == 3 + 2 + 1
    for path in seen:
        ids = set(read_table(path)["id"].to_pylist())
        assert ids == rest if not path.name.startswith("half") else ids < rest
    images = load_file(data / "images/digits/train.safetensors")["images"]
    kept = column(read_table(data / "images/digits/train.parquet"), "used")
    fitted, whole = (fit(chosen, "zca", 0.1).tensors() for chosen in (images[kept], images))
    found = load_file(data / "images/digits/whitening.safetensors")
    assert fitted.keys() == found.keys() and all(torch.equal(fitted[name], found[name]) for name in found)
    assert any(not torch.equal(whole[name], found[name]) for name in found)


def test_other_images_and_labels_outside_change_no_bit(apart: Path) -> None:
    """The strongest form: noise in their place leaves teachers, weights, subset and sets as they are."""
    before = bits(apart)
    images, labels = apart / "data/images/digits", apart / f"data/labels/{CELL}"
    tensors, table = load_file(images / "train.safetensors"), read_table(images / "train.parquet")
    used, clean = column(table, "used"), column(table, "clean")
    noise = torch.randint(
        0, 256, tensors["images"].shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    tensors["images"][~used] = noise[~used]
    clean[~used] = 9 - clean[~used]
    observed = column(read_table(labels / "labels.parquet"), "observed")
    observed[~used] = 9 - observed[~used]

    def images_file(path: Path) -> None:
        save_file(tensors, path)

    ids, marks = table["id"], {name: table[name] for name in ("holdout", "used")}
    classes = (images / "classes.json").read_bytes()
    one = {"train.safetensors": images_file, "train.parquet": parquet(id=ids, clean=clean, **marks)}
    publish_again(images, "train", {**one, "classes.json": classes})
    publish_again(labels, "labels", {"labels.parquet": parquet(id=ids, observed=observed, clean=clean, **marks)})
    whitening = units(apart, "images", "digits")[-1]
    assert not task_of(whitening).direct(whitening).cached
    for name, ident in stages(apart):
        if name in KINDS:
            assert len(names(run(apart, name, ident))) > 0
    after = bits(apart)
    same = {name for name in before if before[name] == after[name]}
    assert not any("manifest" in name for name in same if name.split("/")[0] in KINDS)
    files = {name for name in before if name.split("/")[0] in KINDS and "manifest" not in name}
    assert files <= same and f"labels/{CELL}/labels.parquet" not in same
    assert "images/digits/whitening.safetensors" in same


def publish_again(folder: Path, name: str, files: dict[str, object]) -> None:
    """Other files under the key of an artifact, with a manifest that fits them."""
    old = read_manifest(folder, name)
    publish(
        folder,
        name,
        files,  # type: ignore[arg-type]
        task=old.task,
        key=old.key,
        params=old.params,
        inputs=old.inputs,
        code=old.code,
        notes=old.notes,
    )


def test_the_hold_out_is_measured_by_evaluate_alone(apart: Path) -> None:
    run(apart, "evaluate", OURS)
    accuracy = json.loads((apart / f"data/evaluate/{OURS}/accuracy.json").read_bytes())
    seeds = len(accuracy["evaluation_seeds"])
    assert len(accuracy["holdout_accuracy"]) == seeds == 2
    assert all(round(100 * value, 6).is_integer() for value in accuracy["holdout_accuracy"]), "of 100 held-out images"


def test_a_smaller_share_is_part_of_a_larger_one_and_beside_the_same_hold_out() -> None:
    whole = draw_used(500, Dataset("digits", holdout=0.2))
    few, more = (draw_used(500, Dataset("digits", holdout=0.2, train_share=share)) for share in (0.1, 0.5))
    held = draw_holdout(500, 0.2, 0)
    assert torch.equal(whole, ~held)
    assert (few.sum(), more.sum()) == (50, 250) and not (few & ~more).any() and not (more & held).any()
    assert not torch.equal(few, draw_used(500, Dataset("digits", holdout=0.2, train_share=0.1, split_seed=1)))
