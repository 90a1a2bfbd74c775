"""`python -m robustdd export`: a distilled set for other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from robustdd.reporting.export import export_images, export_picture, export_tensors
from robustdd.study.rows import load_row


class Format(StrEnum):
    """What is written."""

    IMAGES = "images"
    TENSORS = "tensors"
    PICTURE = "picture"


WRITERS = {Format.IMAGES: export_images, Format.TENSORS: export_tensors, Format.PICTURE: export_picture}


def export(
    row: Annotated[str, typer.Argument(metavar="ROW", help="Id of the row, as params.yaml names it.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder (images, tensors) or file (picture).")],
    form: Annotated[
        Format, typer.Option("--to", help="PNGs with labels, tensors without loss, or one picture.")
    ] = Format.IMAGES,
    study: Annotated[Path, typer.Option(help="Folder of the study's params.yaml.")] = Path(),
) -> None:
    """Write the distilled set of ROW to OUT, its images brought back from the whitened space to pixels."""
    stored = load_row(study, row)
    WRITERS[form](stored.distilled, stored.pixels, stored.class_names, out, row)
    typer.echo(f"{row}: {len(stored.distilled.images)} images to {out}")
