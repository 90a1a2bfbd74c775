"""The image files below a folder, in a fixed order, none of them outside of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from robustdd.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp")
_OTHER_IMAGES = frozenset({".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".ico", ".psd", ".svg"})
MAX_DEPTH = 8
MAX_IMAGES = 5_000_000


def image_names(folder: Path) -> list[str]:
    """Names of all image files below `folder`, relative to it, with '/', sorted by code point.

    Hidden files and files that are no images are passed over. Raises UserError for images of a kind that is not read,
    for links that leave the folder or lead to folders, for names that are no printable text, and for too many images
    or too deep folders.
    """
    names = []
    for name in _walk(folder, "", 0):
        suffix = os.path.splitext(name)[1].lower()
        if suffix in _OTHER_IMAGES:
            raise UserError(f"{folder / name}: expected one of {', '.join(SUFFIXES)}; convert it, or take it away")
        if suffix in SUFFIXES:
            names.append(name)
            if len(names) > MAX_IMAGES:
                raise UserError(f"{folder}: holds more than {MAX_IMAGES:,} images; choose a folder with fewer")
    return sorted(names)


def folder_names(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted; raises UserError for links and for names that are no printable text."""
    return sorted(entry.name for entry in _entries(folder, folder) if entry.is_dir(follow_symlinks=False))


def _walk(folder: Path, way: str, depth: int) -> Iterator[str]:
    for entry in _entries(folder / way, folder):
        name = f"{way}{entry.name}"
        if not entry.is_dir(follow_symlinks=False):
            yield name
        elif depth == MAX_DEPTH:
            raise UserError(f"{entry.path}: lies deeper than {MAX_DEPTH} folders; expected a flatter folder")
        else:
            yield from _walk(folder, f"{name}/", depth + 1)


def _entries(folder: Path, top: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in `folder` and is a folder, a file, or a link to a file below `top`; hidden things are left out."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); expected a folder of images") from error
    for entry in entries:
        if not entry.name.isprintable():
            raise UserError(f"{folder}: the name {entry.name[:100]!r} is no printable text; rename the file")
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            _check_link(entry.path, top)
            yield entry
        elif entry.is_dir() or entry.is_file():
            yield entry


def _check_link(link: str, top: Path) -> None:
    # os.path tells no error of a link that ends nowhere or in itself.
    target = os.path.realpath(link)
    if not Path(target).is_relative_to(os.path.realpath(top)):
        raise UserError(f"{link}: is a link that leaves {top}; put the file itself there")
    if not os.path.isfile(target):
        raise UserError(f"{link}: is no link to a file; put the images themselves there")
