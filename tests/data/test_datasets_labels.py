"""Tables of labels: every mistake in them is told in one line, and hostile bytes give nothing but that line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.data import classes
from robustdd.data import label_table as label_tables
from robustdd.data.label_table import read_table
from robustdd.data.parts import list_part
from robustdd.data.read import open_source
from robustdd.errors import UserError
from robustdd.params import Dataset
from tests.data.image_files import labelled

CSV: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "expected the columns id,label or id,label,clean_label, found none"),
    "no rows": ("id,label\n", "has 0 rows for 3 images"),
    "too short": ("id,label\na.png,cat\nb.png,dog\n", "has 2 rows for 3 images; expected one row an image"),
    "too long": ("id,label\na.png,cat\nb.png,dog\nc.png,cat\nd.png,cat\n", "has 4 rows for 3 images"),
    "no header": ("a.png,cat\nb.png,dog\nc.png,cat\n", "expected the columns id,label"),
    "other columns": ("id,label,clean_lable\n", "found id,label,clean_lable"),
    "two-dimensional": ("id,label,label\na.png,1,0\n", "found id,label,label"),
    "semicolons": ("id;label\na.png;cat\n", "found id;label"),
    "missing cell": ("id,label\na.png,cat\nb.png\nc.png,cat\n", "row 2 has 1 cells, expected 2"),
    "one cell more": ("id,label\na.png,cat\nb.png,dog,x\nc.png,cat\n", "row 2 has 3 cells, expected 2"),
    "empty label": ("id,label\na.png,cat\nb.png,\nc.png,cat\n", "row 2 has no label; expected one in every row"),
    "empty id": ("id,label\na.png,cat\n,dog\nc.png,cat\n", "row 2 has no id"),
    "some clean": ("id,label,clean_label\na.png,cat,cat\nb.png,dog,\nc.png,cat,cat\n", "row 2 has no clean_label"),
    "duplicate id": ("id,label\na.png,cat\nb.png,dog\na.png,cat\n", "id 'a.png' stands 2 times; expected once"),
    "unknown id": (
        "id,label\na.png,cat\nb.png,dog\nd.png,cat\n",
        "id 'd.png' is no image of the folder; expected such",
    ),
    "id without ending": (
        "id,label\na,cat\nb,dog\nc,cat\n",
        "id 'a' is no image of the folder; expected such as 'a.png'",
    ),
    "way out": ("id,label\na.png,cat\nb.png,dog\n../c.png,cat\n", "id '../c.png' leaves the folder"),
    "absolute": ("id,label\na.png,cat\nb.png,dog\n/etc/passwd,cat\n", "id '/etc/passwd' leaves the folder"),
    "home": ("id,label\na.png,cat\nb.png,dog\n~/c.png,cat\n", "id '~/c.png' is no image"),
    "line end in an id": ('id,label\na.png,cat\nb.png,dog\n"c\n.png",cat\n', "id 'c\\n.png' is no image"),
    "nul": ("id,label\na.png,cat\nb.png,dog\nc\0.png,cat\n", "id 'c\\x00.png' is no image"),
    "float": ("id,label\na.png,0\nb.png,1.0\nc.png,0\n", "label '1.0' is no class; expected whole numbers"),
    "exponent": ("id,label\na.png,0\nb.png,1e0\nc.png,0\n", "label '1e0' is no class"),
    "nan": ("id,label\na.png,cat\nb.png,nan\nc.png,dog\n", "label 'nan' is no class"),
    "negative": ("id,label\na.png,0\nb.png,-1\nc.png,1\n", "label -1 is negative"),
    "gap": ("id,label\na.png,0\nb.png,3\nc.png,0\n", "no image has label 1, though 3 is in use; name all classes"),
    "names and numbers": ("id,label\na.png,0\nb.png,dog\nc.png,cat\n", "label '0' is no class; expected whole numbers"),
    "one class": ("id,label\na.png,0\nb.png,0\nc.png,0\n", "has 1 classes; expected 2 to 1,000"),
    "huge number": ("id,label\na.png,0\nb.png,1\nc.png,99999999\n", "label 99999999 makes more than 1,000 classes"),
    "number of 30 digits": ("id,label\na.png,0\nb.png,1\nc.png," + "9" * 30 + "\n", "is no class"),
    "not UTF-8": (b"id,label\na.png,\xff\n", "cannot be read as CSV ('utf-8' codec"),
    "open quote": ('id,label\na.png,"cat\n', "cannot be read as CSV (unexpected end of data)"),
    "long line": ("id,label\na.png,cat" + "x" * 30_000, "line 2 has more than 20,000 characters; expected id,label"),
    "long header": ("," * 30_000, "line 1 has more than 20,000 characters"),
    "name with a line end": ('id,label\na.png,"ca\nt"\nb.png,dog\nc.png,dog\n', "'ca\\nt' cannot name a class"),
    "long name": (
        "id,label\na.png," + "x" * 101 + "\nb.png,dog\nc.png,dog\n",
        "cannot name a class; expected 1 to 100",
    ),
}


def refusal(root: Path, classes: tuple[str, ...] = ()) -> str:
    with pytest.raises(UserError) as caught:
        open_source(Dataset(kind="folder", path=str(root), test_set=False, classes=classes))
    line = str(caught.value)
    assert line.isprintable() and len(line) < 500 and "labels." in line
    return line


@pytest.mark.parametrize("name", CSV)
def test_a_bad_csv_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    text, reason = CSV[name]
    root = labelled(tmp_path)
    (root / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert reason in refusal(root)


IDS = ["a.png", "b.png", "c.png"]
PARQUET: dict[str, tuple[dict[str, Any], str]] = {
    "float": ({"id": IDS, "label": [0.0, 1.0, 0.0]}, "column label: expected whole numbers or names of classes, found"),
    "nan": ({"id": IDS, "label": [0.0, float("nan"), 1.0]}, "found double"),
    "bool": ({"id": IDS, "label": [True, False, True]}, "found bool"),
    "two-dimensional": ({"id": IDS, "label": [[0], [1], [0]]}, "found list"),
    "bytes": ({"id": IDS, "label": [b"a", b"b", b"a"]}, "found binary"),
    "number as id": ({"id": [0, 1, 2], "label": [0, 1, 0]}, "column id: expected text, found int64"),
    "no value": ({"id": IDS, "label": [0, None, 1]}, "row 2 has no label"),
    "no id": ({"id": ["a.png", None, "c.png"], "label": [0, 1, 1]}, "row 2 has no id"),
    "negative": ({"id": IDS, "label": [0, -1, 1]}, "label -1 is negative"),
    "too large": ({"id": IDS, "label": pa.array([0, 1, 2**64 - 1], pa.uint64())}, "makes more than 1,000 classes"),
    "wrong length": ({"id": IDS[:2], "label": [0, 1]}, "has 2 rows for 3 images"),
    "float of clean": ({"id": IDS, "label": [0, 1, 0], "clean_label": [0.5, 1, 0]}, "column clean_label: expected"),
    "other columns": ({"id": IDS, "class": [0, 1, 0]}, "found id,class"),
    "no columns": ({}, "found none"),
}


@pytest.mark.parametrize("name", PARQUET)
def test_a_bad_parquet_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    columns, reason = PARQUET[name]
    root = labelled(tmp_path)
    (root / "labels.csv").unlink()
    pq.write_table(pa.table(columns), root / "labels.parquet")
    assert reason in refusal(root)


def test_labels_that_are_none_of_the_named_classes_are_refused(tmp_path: Path) -> None:
    root = labelled(tmp_path, "id,label\na.png,cat\nb.png,dgo\nc.png,cat\n")
    assert "label 'dgo' of 'b.png' is no class; expected 0..1, or one of cat, dog" in refusal(root, ("cat", "dog"))
    for label in ("2", "-1", "0.0", "nan", "1e0", " "):
        (root / "labels.csv").write_text(f'id,label\na.png,0\nb.png,1\nc.png,"{label}"\n')
        assert "'c.png' is no class; expected 0..1" in refusal(root, ("cat", "dog"))


def test_names_and_numbers_do_not_mix(tmp_path: Path) -> None:
    root = labelled(tmp_path, "id,label\na.png,cat\nb.png,1\nc.png,cat\n")
    assert "some labels are names, some numbers; expected 0..1, or one of cat, dog" in refusal(root, ("cat", "dog"))


def test_classes_with_numbers_for_names_are_names_first(tmp_path: Path) -> None:
    root = labelled(tmp_path, "id,label\na.png,1\nb.png,3\nc.png,1\n")
    assert list_part(root, "", ("1", "3", "5")).labels == (0, 1, 0)


def test_a_table_larger_than_allowed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = labelled(tmp_path)
    monkeypatch.setattr(label_tables, "MAX_BYTES", 20)
    assert "is larger than" in refusal(root)


def test_excel_and_spaces_are_understood(tmp_path: Path) -> None:
    text = "\ufeffid, label\r\na.png, cat\r\n\r\nb.png, dog\r\nc.png, cat\r\n"
    root = labelled(tmp_path)
    (root / "labels.csv").write_bytes(text.encode())
    assert list_part(root, "", ()).labels == (0, 1, 0)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(st.text(max_size=6), st.integers(-2, 5).map(str), st.floats().map(str)), max_size=6))
def test_labels_are_classes_or_refused(labels: list[str]) -> None:
    ids = [str(row) for row in range(len(labels))]
    try:
        names = classes.class_names([labels], "labels")
        found = classes.numbers(labels, names, ids, "labels")
    except UserError as error:
        assert str(error).isprintable()
    else:
        assert [names[place] for place in found] == [str(int(x)) if x.lstrip("+-").isdigit() else x for x in labels]
        assert set(found) == set(range(len(names)))


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": IDS, "label": ["cat", "dog", "cat"]}), file)
    return file.getvalue()


GOOD = {"labels.csv": b"id,label\na.png,cat\nb.png,dog\nc.png,cat\n", "labels.parquet": _parquet()}


@pytest.mark.parametrize("name", GOOD)
def test_damaged_tables_are_read_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path, good = tmp_path / name, GOOD[name]

    @settings(deadline=1000, max_examples=400)
    @given(st.booleans(), st.integers(0, len(good)), st.integers(0, 16), st.binary(max_size=24))
    def holds(whole: bool, place: int, cut: int, new: bytes) -> None:
        path.write_bytes(good[:place] + new + good[place + cut :] if whole else new)
        try:
            table = read_table(path, 3)
        except UserError as error:
            assert str(error).isprintable()
        else:
            assert len(table.ids) == len(table.labels) == len(set(table.ids)) == 3

    holds()
