"""CIFAR-10 and CIFAR-100 wherever they lie: parquet files or the original python files, found or downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from robustdd.data.catalog import BY_KIND, Published
from robustdd.data.data_folder import locate
from robustdd.data.python_files import PythonFiles
from robustdd.data.source import Absent, Source
from robustdd.errors import UserError
from robustdd.params import Dataset

MAX_DEPTH = 4
MAX_FOLDERS = 2000


def find(params: Dataset, base: Path) -> Source:
    """The files of the CIFAR of `params.kind`, in the folder `params.path`, seen from `base`, or below it.

    Without a path the folder is that of the kind's name under ROBUSTDD_DATA. With `download` the original python files
    are fetched first where they are missing. Raises UserError when nothing is found, or more than one copy.
    """
    published = BY_KIND[params.kind]
    if params.download:
        from robustdd.data.download import fetch

        if params.path is None:
            raise UserError(f"dataset {params.kind}: download needs a path; give that of a folder")
        return fetch(published, base / os.path.expanduser(params.path))
    try:
        top = locate(params.path, params.kind, base, f"dataset {params.kind}")
    except UserError as error:
        raise Absent(str(error)) from error
    if not top.is_dir():
        raise UserError(f"dataset {params.kind}: {top} is no folder")
    found = list(_copies(published, top))
    if not found:
        wanted = f"train*.parquet and test*.parquet with a column {published.column}, or {published.folder}/"
        raise UserError(f"dataset {params.kind}: {top} does not hold {published.name}; expected {wanted}")
    if len(found) > 1:
        places = " and ".join(str(place) for place, _ in found[:2])
        raise UserError(f"dataset {params.kind}: found in {places}; give one of them as path")
    return found[0][1]


def _copies(published: Published, top: Path) -> Iterator[tuple[Path, Source]]:
    """Folders from `top` downwards that hold the data set, by name: python files or parquet files."""
    for folder, names in _folders(top):
        if folder.name == published.folder or set(published.checksums) <= names:
            yield folder, PythonFiles(published, folder)
        shards = sorted(name for name in names if name.startswith("train") and name.endswith(".parquet"))
        if shards:
            from robustdd.data.parquet_files import ParquetFiles, image_column

            if image_column(folder / shards[0], published) is not None:
                yield folder, ParquetFiles(published, folder)


def _folders(top: Path) -> Iterator[tuple[Path, set[str]]]:
    """Folders from `top` to four levels below it, sorted, with the names of their files; links are not followed."""
    for count, (way, folders, files) in enumerate(os.walk(top)):
        if count == MAX_FOLDERS:
            raise UserError(f"{top}: has more than {MAX_FOLDERS:,} folders to search; give a path nearer to the data")
        deep = len(Path(way).relative_to(top).parts) >= MAX_DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        yield Path(way), set(files)
