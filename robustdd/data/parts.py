"""The training or the test part of a folder of images, before any image is opened: ids, labels, classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from robustdd.data import classes
from robustdd.data.label_table import NAMES, read_table
from robustdd.data.walking import SUFFIXES, folder_names, image_names
from robustdd.errors import UserError


@dataclass(frozen=True)
class Part:
    """Images by id, sorted: their names from the root of the data set, the labels given, the right ones where known.

    `tables`: the table that the labels come from, by its name from the root; none with class folders.
    """

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    clean: tuple[int, ...] | None
    class_names: tuple[str, ...]
    tables: tuple[str, ...] = ()


def list_part(root: Path, place: str, names: tuple[str, ...]) -> Part:
    """The images below root/place and their labels; `names` are the classes, () where they are to be found out.

    Labels are the names of the folders in it, or stand in its labels.csv or labels.parquet, which must have a row for
    every image and no other. Raises UserError, in one line, for anything else.
    """
    folder = root / place
    if not folder.resolve().is_relative_to(root):
        raise UserError(f"{folder}: is a link that leaves {root}; put the folder itself there")
    images = image_names(folder)
    tables = [name for name in NAMES if (folder / name).exists()]
    if len(tables) > 1:
        raise UserError(f"{folder}: has both {' and '.join(tables)}; keep one")
    if tables and not images:
        raise UserError(f"{folder}: holds no image ({', '.join(SUFFIXES)})")
    part = _from_table(folder, tables[0], images, names) if tables else _from_folders(folder, images, names)
    way = f"{place}/" if place else ""
    ids, used = (tuple(f"{way}{name}" for name in group) for group in (part.ids, part.tables))
    return Part(ids, part.labels, part.clean, part.class_names, used)


def _from_folders(folder: Path, images: list[str], names: tuple[str, ...]) -> Part:
    found = folder_names(folder)
    if not found:
        raise UserError(f"{folder}: has neither a folder a class nor one of {', '.join(NAMES)}")
    stray = next((name for name in images if "/" not in name), None)
    if stray is not None:
        raise UserError(f"{folder / stray}: lies in no class folder; move it into one, or add a labels.csv")
    counts = Counter(name.split("/", 1)[0] for name in images)
    for name in found:
        classes.check_name(name, str(folder))
        if not counts[name]:
            raise UserError(f"{folder / name}: holds no image ({', '.join(SUFFIXES)}); fill it, or take it away")
    known = names or classes.check_count(tuple(found), str(folder))
    odd = sorted(set(known) ^ set(found))
    if odd:
        here = "is no class" if odd[0] in found else "is missing"
        raise UserError(f"{folder}: class folder {odd[0]!r} {here}; expected one for each of {len(known)} classes")
    places = {name: place for place, name in enumerate(known)}
    return Part(tuple(images), tuple(places[name.split("/", 1)[0]] for name in images), None, known)


def _from_table(folder: Path, name: str, images: list[str], names: tuple[str, ...]) -> Part:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{path}: is a link that leaves {folder}; put the file itself there")
    table = read_table(path, len(images))
    known = set(images)
    for ident in table.ids:
        if ident not in known:
            raise UserError(f"{path}: id {_shown(ident)} {_fault(ident)}; expected such as {images[0]!r}")
    columns = [table.labels] if table.clean is None else [table.labels, table.clean]
    used = names or classes.class_names(columns, str(path))
    places = [classes.numbers(column, used, table.ids, str(path)) for column in columns]
    rows = {ident: row for row, ident in enumerate(table.ids)}
    ordered = [tuple(column[rows[name]] for name in images) for column in places]
    return Part(tuple(images), ordered[0], ordered[1] if len(ordered) == 2 else None, used, (name,))


def _fault(ident: str) -> str:
    way = PurePosixPath(ident)
    return "leaves the folder" if way.is_absolute() or ".." in way.parts else "is no image of the folder"


def _shown(ident: str) -> str:
    text = repr(ident)
    return text if len(text) <= 100 else f"{text[:100]}..."
