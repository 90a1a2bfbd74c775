"""Fetching the original python files of CIFAR; the only module that reaches the network."""

from __future__ import annotations

from pathlib import Path

from robustdd.data.catalog import Published
from robustdd.data.python_files import PythonFiles
from robustdd.data.refusals import told_as
from robustdd.errors import UserError


def fetch(published: Published, folder: Path) -> PythonFiles:
    """The python files in folder/cifar-10-batches-py (or -100-), downloaded by torchvision unless they are there whole.

    The archive and every file in it are checked by md5 before they are used. Raises UserError, in one line, when the
    network or the disk fails.
    """
    place = folder / published.folder
    if _is_whole(published, place):
        return PythonFiles(published, place)
    from robustdd.data.torchvision_compat import torchvision

    utils = torchvision("datasets.utils")
    with told_as(f"dataset {published.kind}: cannot fetch {published.url} into {folder}"):
        utils.download_and_extract_archive(
            published.url, str(folder), filename=published.archive, md5=published.archive_md5
        )
    return PythonFiles(published, place)


def _is_whole(published: Published, place: Path) -> bool:
    try:
        return PythonFiles(published, place).whole()
    except UserError:
        return False
