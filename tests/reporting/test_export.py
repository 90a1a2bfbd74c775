from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save

from robustdd.cli.app import main
from robustdd.data.whitening import fit
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import CorruptArtifact, UserError
from robustdd.reporting.export import export_images, export_picture, export_tensors
from robustdd.store.artifacts import publish
from robustdd.study.rows import load_row
from tests.support.studies import PLAIN, tiny_study, write_study

NAMES = ("one", "two, and a half")


def example(channels=1):
    made = torch.Generator().manual_seed(0)
    images = torch.randn(4, channels, 3, 5, generator=made)
    logits = torch.tensor([[3.0, 0.0], [0.5, 0.25], [-1.0, 2.0], [0.0, 1e-3]])
    pixels = torch.rand(4, channels, 3, 5, generator=made) * 1.4 - 0.2
    return SyntheticSet(images, logits, torch.tensor(0.015)), pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_folder_has_clipped_pngs_labels_and_exact_logits(tmp_path, channels):
    distilled, pixels = example(channels)
    export_images(distilled, pixels, NAMES, tmp_path / "out", "row")
    with (tmp_path / "out" / "metadata.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["file_name"] for line in lines] == [f"{at:05d}.png" for at in range(4)]
    assert [line["class_name"] for line in lines] == ["one", "one", NAMES[1], NAMES[1]]
    logits = torch.tensor([[float(line["logit_0"]), float(line["logit_1"])] for line in lines])
    assert torch.equal(logits, distilled.label_logits)
    for at in range(4):
        with Image.open(tmp_path / "out" / f"{at:05d}.png") as image:
            read = np.asarray(image)
        expected = (pixels[at].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).squeeze(2).numpy()
        assert np.array_equal(read, expected)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "4 images of 2 classes" in card and "0.015" in card and "lossy" in card


def test_tensors_are_exported_without_loss_and_without_pickle(tmp_path):
    distilled, pixels = example()
    export_tensors(distilled, pixels, NAMES, tmp_path / "out", "row")
    read = load_file(tmp_path / "out" / "distilled.safetensors")
    again = SyntheticSet.from_tensors(read)
    assert all(
        torch.equal(one, other)
        for one, other in zip(again.tensors().values(), distilled.tensors().values(), strict=True)
    )
    for name in ("images", "pixels", "label_logits", "labels", "learning_rate"):
        array = np.load(tmp_path / "out" / f"{name}.npy", allow_pickle=False)
        assert torch.equal(torch.from_numpy(array), read[name])
    assert torch.allclose(read["labels"].sum(1), torch.ones(4))
    with safe_open(tmp_path / "out" / "distilled.safetensors", "pt") as file:
        assert file.metadata()["classes"].split("\n") == list(NAMES)


def test_equal_exports_are_equal_bytes(tmp_path):
    distilled, pixels = example()
    for folder in ("a", "b"):
        export_images(distilled, pixels, NAMES, tmp_path / folder, "row")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("writer", [export_images, export_tensors])
def test_nothing_is_overwritten(tmp_path, writer):
    distilled, pixels = example()
    (tmp_path / "mine").write_text("mine")
    for taken in (tmp_path, tmp_path / "mine"):
        with pytest.raises(UserError, match="not an empty folder"):
            writer(distilled, pixels, NAMES, taken, "row")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_shapes_must_agree(tmp_path):
    distilled, pixels = example()
    with pytest.raises(UserError, match="shape"):
        export_images(distilled, pixels[:2], NAMES, tmp_path / "out", "row")
    with pytest.raises(UserError, match="3 class names for 2"):
        export_tensors(distilled, pixels, (*NAMES, "three"), tmp_path / "out", "row")
    with pytest.raises(UserError, match="2 channels"):
        export_images(*example(2), NAMES, tmp_path / "out", "row")
    assert not (tmp_path / "out").exists()


def test_one_picture(tmp_path):
    export_picture(*example(), NAMES, tmp_path / "deep" / "set.png", "row")
    with Image.open(tmp_path / "deep" / "set.png") as image:
        assert image.width > 100


@pytest.fixture
def stored(tmp_path):
    """A study's folder with the artifacts that an export reads."""
    study = write_study(tmp_path / "study", tiny_study())
    row = f"{PLAIN}-selected-ipc1-s0"
    images = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    whitening = fit(images, "zca", 0.1)
    distilled = SyntheticSet(whitening.apply(images[:10]), torch.eye(10), torch.tensor(0.01))
    names = json.dumps([str(digit) for digit in range(10)]).encode()
    put(study / "data" / "distill" / row, "distilled", {"distilled.safetensors": save(distilled.tensors())})
    put(study / "data" / "images" / "digits", "whitening", {"whitening.safetensors": save(whitening.tensors())})
    put(study / "data" / "images" / "digits", "train", {"classes.json": names})
    return study, row, images[:10]


def put(folder, name, files):
    publish(folder, name, files, task="test", key="key", params={}, inputs={}, code="0" * 64)


def test_a_rows_set_comes_back_as_pixels(stored):
    study, row, images = stored
    found = load_row(study, row)
    assert torch.allclose(found.pixels, images.float() / 255, atol=1e-4)
    assert found.class_names == tuple("0123456789")


def test_a_changed_set_is_not_read(stored):
    study, row, _ = stored
    path = study / "data" / "distill" / row / "distilled.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(CorruptArtifact, match="sha256"):
        load_row(study, row)


def test_an_unknown_row_is_named(stored):
    with pytest.raises(UserError, match="nosuch"):
        load_row(stored[0], "nosuch")


@pytest.mark.parametrize(("form", "made"), [("images", "metadata.csv"), ("tensors", "distilled.safetensors")])
def test_the_command_writes_a_folder(stored, tmp_path, capsys, form, made):
    study, row, _ = stored
    with pytest.raises(SystemExit) as ended:
        main(["export", row, str(tmp_path / "out"), "--to", form, "--study", str(study)])
    assert ended.value.code == 0
    assert (tmp_path / "out" / made).exists()
    assert capsys.readouterr().out.startswith(f"{row}: 10 images to ")


def test_the_command_ends_in_one_line_for_a_row_that_is_not_there(stored, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", "nosuch", str(tmp_path / "out"), "--study", str(stored[0])])
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and told.err.count("\n") == 1
