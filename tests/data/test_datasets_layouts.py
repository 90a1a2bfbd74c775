"""Layouts of a folder of images that are refused, each in one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustdd.data import walking
from robustdd.data.read import fingerprint, open_source
from robustdd.errors import UserError
from tests.data.image_files import class_folders, image_bytes, labelled, pixels, write_image
from tests.data.own_folders import both, folder, refusal


def _changed(change: Any) -> Any:
    def made(root: Path) -> None:
        both(root)
        change(root)

    return made


def _link(root: Path, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(target)


HUGE = image_bytes(np.zeros((4097, 4097), np.uint8))

LAYOUTS: dict[str, tuple[Any, str]] = {
    "nothing": (lambda root: None, "has neither a folder a class nor one of labels.csv, labels.parquet"),
    "no folder": (lambda root: root.rmdir(), "is no folder; expected one of images"),
    "empty class folder": (_changed(lambda root: (root / "train" / "cow").mkdir()), "train/cow: holds no image (.png,"),
    "class folder with text": (
        _changed(lambda root: ((root / "train" / "cow").mkdir(), (root / "train" / "cow" / "a.txt").touch())),
        "train/cow: holds no image",
    ),
    "stray image": (_changed(lambda root: write_image(root / "train" / "x.png", 0)), "train/x.png: lies in no class"),
    "image of a kind not read": (
        _changed(lambda root: (root / "train" / "cat" / "x.tiff").touch()),
        "train/cat/x.tiff: expected one of .png, .jpg",
    ),
    "truncated image": (
        _changed(lambda root: (root / "train" / "dog" / "1.png").write_bytes(image_bytes(pixels(0))[:-50])),
        "train/dog/1.png: is damaged or no image",
    ),
    "bomb": (_changed(lambda root: (root / "train" / "dog" / "1.png").write_bytes(HUGE)), "has 4097 x 4097 pixels"),
    "missing test class": (
        _changed(lambda root: (root / "test" / "dog").rename(root / "test" / "dogs")),
        "test: class folder 'dog' is missing; expected one for each of 2 classes",
    ),
    "test class too many": (
        _changed(lambda root: class_folders(root / "test", ("ant",))),
        "test: class folder 'ant' is no class",
    ),
    "link out": (
        _changed(lambda root: _link(root, "train/cat/z.png", root.parent / "outside" / "z.png")),
        "train/cat/z.png: is a link that leaves",
    ),
    "link to nothing": (
        _changed(lambda root: _link(root, "train/cat/z.png", root / "train" / "cat" / "gone.png")),
        "train/cat/z.png: is no link to a file",
    ),
    "circle of links": (
        _changed(lambda root: _link(root, "train/cat/z.png", root / "train" / "cat" / "z.png")),
        "train/cat/z.png: is no link to a file",
    ),
    "link to a folder": (
        _changed(lambda root: _link(root, "train/cow", root / "train" / "cat")),
        "train/cow: is no link to a file",
    ),
    "train is a link": (
        lambda root: _link(root, "train", class_folders(root.parent / "far")),
        "train: is a link that leaves",
    ),
    "name with a line end": (
        _changed(lambda root: write_image(root / "train" / "cat" / "a\nb.png", 0)),
        "train/cat: the name 'a\\nb.png' is no printable text",
    ),
    "name that is no text": (
        _changed(lambda root: (root / "train" / "cat" / os.fsdecode(b"\xff.png")).touch()),
        "is no printable text",
    ),
    "too deep": (
        _changed(lambda root: write_image(root / "train" / "cat" / "1/2/3/4/5/6/7/8/9" / "a.png", 0)),
        "lies deeper than 8 folders",
    ),
    "both tables": (
        lambda root: (labelled(root), (root / "labels.parquet").touch()),
        "has both labels.csv and labels.parquet; keep one",
    ),
    "table without images": (lambda root: (root / "labels.csv").write_text("id,label\n"), "holds no image"),
    "table is a link": (
        lambda root: (labelled(root), (root / "labels.csv").unlink(), _link(root, "labels.csv", root.parent / "other")),
        "labels.csv: is a link that leaves",
    ),
    "table is a folder": (
        lambda root: (labelled(root), (root / "labels.csv").unlink(), (root / "labels.csv").mkdir()),
        "labels.csv: cannot be read as CSV (Is a directory)",
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    make, reason = LAYOUTS[name]
    (tmp_path / "set").mkdir()
    make(tmp_path / "set")
    has_test = (tmp_path / "set" / "test").is_dir()
    assert reason in refusal(tmp_path / "set", test_set=has_test)


def test_a_table_that_is_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    root = labelled(tmp_path / "set")
    (root / "labels.csv").rename(tmp_path / "secret")
    (root / "labels.csv").symlink_to(tmp_path / "secret")
    assert "labels.csv: is a link that leaves" in refusal(root)


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path)
    opened = Path.open

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == "2.png":
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert "cat/2.png: cannot be read (Permission denied)" in refusal(tmp_path)
    with pytest.raises(UserError, match=r"cat/2\.png: cannot be read"):
        fingerprint(open_source(folder(tmp_path)))


def test_more_images_than_allowed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "MAX_IMAGES", 5)
    assert "holds more than 5 images" in refusal(class_folders(tmp_path))
