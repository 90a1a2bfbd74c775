"""A distilled set in the formats of other tools: an image folder, plain tensors, one picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robustdd.distillation.synthetic import SyntheticSet
from robustdd.errors import UserError

CARD = """# {name}

{count} images of {classes} classes, distilled from noisy labels by robustdd. {content}

The set is made to be trained on with its own soft labels (the softmax of the logits) and its own learning rate,
{rate:.6g}. Images under the licence of the data that they were distilled from.
"""


def export_images(distilled: SyntheticSet, pixels: Tensor, class_names: Sequence[str], folder: Path, name: str) -> None:
    """Write a folder that image-folder readers understand: PNGs, metadata.csv with labels and logits, and a card.

    `pixels` are the images of `distilled` [n, channels, h, w] brought back to 0..1; values outside are clipped and the
    rest is rounded to 8 bits, so training on the PNGs is not training on the set: the card says so. UserError when the
    folder exists and is not empty, or shapes disagree.
    """
    _check(distilled, pixels, class_names)
    _fresh(folder)
    labels = distilled.label_logits.argmax(1).tolist()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file_name", "label", "class_name", *(f"logit_{at}" for at in range(len(class_names)))])
    for at, (image, label) in enumerate(zip(_bytes(pixels), labels, strict=True)):
        file_name = f"{at:05d}.png"
        _write_png(folder / file_name, image)
        writer.writerow(
            [file_name, label, class_names[label], *(f"{value:.9g}" for value in distilled.label_logits[at].tolist())]
        )
    (folder / "metadata.csv").write_text(out.getvalue(), encoding="utf-8")
    content = "Pixels are brought back from the whitened space, clipped and rounded to 8 bits: lossy to train on."
    _write_card(folder, distilled, class_names, name, content)


def export_tensors(
    distilled: SyntheticSet, pixels: Tensor, class_names: Sequence[str], folder: Path, name: str
) -> None:
    """Write the set without loss: distilled.safetensors, the same as .npy files, and a card; nothing is pickled.

    Tensors: images (whitened space), pixels (0..1 scale, not clipped), label_logits, labels (softmax), learning_rate.
    UserError as `export_images`.
    """
    from safetensors.torch import save_file

    _check(distilled, pixels, class_names)
    _fresh(folder)
    tensors = _tensors(distilled, pixels)
    save_file(tensors, folder / "distilled.safetensors", metadata={"name": name, "classes": "\n".join(class_names)})
    for key, tensor in tensors.items():
        np.save(folder / f"{key}.npy", tensor.numpy(), allow_pickle=False)
    content = "`images` are as networks see them (whitened), `pixels` in 0 to 1 (unclipped), `labels` softmaxed."
    _write_card(folder, distilled, class_names, name, content)


def export_picture(distilled: SyntheticSet, pixels: Tensor, class_names: Sequence[str], path: Path, name: str) -> None:
    """Write one PNG of the set, a column a class; `name` is not used. UserError when shapes disagree."""
    from robustdd.reporting.pictures import picture
    from robustdd.store.artifacts import write_atomically

    _check(distilled, pixels, class_names)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, picture(pixels, tuple(class_names)))


def _tensors(distilled: SyntheticSet, pixels: Tensor) -> dict[str, Tensor]:
    whole = {**distilled.tensors(), "pixels": pixels, "labels": distilled.label_logits.softmax(1)}
    return {key: tensor.detach().cpu().contiguous() for key, tensor in whole.items()}


def _check(distilled: SyntheticSet, pixels: Tensor, class_names: Sequence[str]) -> None:
    if pixels.shape != distilled.images.shape:
        raise UserError(
            f"pixels have shape {tuple(pixels.shape)}: expected that of the images, {tuple(distilled.images.shape)}"
        )
    if distilled.label_logits.shape[1] != len(class_names):
        raise UserError(f"{len(class_names)} class names for {distilled.label_logits.shape[1]} classes")
    if pixels.shape[1] not in (1, 3):
        raise UserError(f"images of {pixels.shape[1]} channels: expected 1 or 3")


def _fresh(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not an empty folder; name another, or remove it")
    folder.mkdir(parents=True, exist_ok=True)


def _bytes(pixels: Tensor) -> list[np.ndarray]:
    """Images as uint8 [height, width] or [height, width, 3]."""
    scaled = (pixels.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return [image.squeeze(2) if image.shape[2] == 1 else image for image in scaled.numpy()]


def _write_png(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(image).save(path, format="PNG")


def _write_card(folder: Path, distilled: SyntheticSet, class_names: Sequence[str], name: str, content: str) -> None:
    facts = {"count": len(distilled.images), "classes": len(class_names), "rate": float(distilled.learning_rate)}
    (folder / "README.md").write_text(CARD.format(name=name, content=content, **facts), encoding="utf-8")
