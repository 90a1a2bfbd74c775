"""Bytes of the tensors that a study keeps, from shapes alone; tables, figures and manifests are small beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robustdd.params import MATCHED, Recipe, Study
from robustdd.study.shapes import Images, activations, file_bytes, network_of


@dataclass(frozen=True)
class Disk:
    """Bytes of one stage of one id: its files, and the most that the checkpoints of one of its tasks take meanwhile."""

    stage: str
    ident: str
    files: dict[str, int]
    checkpoints: int = 0

    @property
    def total(self) -> int:
        """Bytes of all its files."""
        return sum(self.files.values())


def disk_of(study: Study, shapes: Mapping[str, Images]) -> list[Disk]:
    """The tensor files of every stage that has any, by stage and id."""
    found = [
        Disk("images", ident, _image_files(images, study.datasets[ident].whitening)) for ident, images in shapes.items()
    ]
    found += [_teachers(study, view, _seen(study, view, shapes)) for view in study.views]
    found += [_targets(study, view, _seen(study, view, shapes)) for view in study.grid.finetune]
    return [*found, *(_set(study, row, _seen(study, asked.view, shapes)) for row, asked in study.rows.items())]


def _seen(study: Study, view: str, shapes: Mapping[str, Images]) -> Images:
    return shapes[study.cells[study.views[view].cell].dataset]


def _image_files(images: Images, whitening: str) -> dict[str, int]:
    shape, size = (images.channels, *images.side), images.values
    count = images.whole
    flat = (images.channels, 1, 1)
    maps = (shape, (size, size), (size, size)) if whitening == "zca" else (flat, flat, flat)
    names = ("mean", "matrix", "inverse")
    files = {
        "train.safetensors": file_bytes({"images": ("U8", (count, *shape))}),
        "whitening.safetensors": file_bytes({name: ("F64", one) for name, one in zip(names, maps, strict=True)}),
    }
    if images.test:
        test = {"images": ("U8", (images.test, *shape)), "labels": ("I64", (images.test,))}
        files["test.safetensors"] = file_bytes(test)
    return files


def _teachers(study: Study, view: str, images: Images) -> Disk:
    size, epochs = network_of(study.network, images).num_parameters, study.teachers.epochs
    one = file_bytes({"snapshots": ("F32", (epochs + 1, size))})
    files = {f"teacher-{index:03d}.safetensors": one for index in range(study.teachers.num_teachers)}
    # A snapshot is a file that the checkpoints share; the last two of them have the rest each.
    snapshots = [file_bytes({f"snapshot.{done:06d}": ("F32", (size,))}) for done in range(epochs + 1)]
    kept = sum(_teacher_checkpoint(size, done, images.train) for done in (epochs, max(epochs - 1, 1)))
    return Disk("teachers", view, files, sum(snapshots) + kept)


def _teacher_checkpoint(parameters: int, epochs: int, samples: int) -> int:
    return file_bytes(
        {
            "velocity": ("F32", (parameters,)),
            "losses": ("F64", (epochs,)),
            "blends": ("F64", (epochs,)),
            "last_dynamic": ("F32", (samples,)),
        }
    )


def _targets(study: Study, view: str, images: Images) -> Disk:
    starts = study.finetune.last_start - study.finetune.first_start + 1
    size = network_of(study.network, images).num_parameters
    one = file_bytes({"targets": ("F32", (starts, size)), "starts": ("I64", (starts,))})
    return Disk(
        "finetune", view, {f"clean-target-{i:03d}.safetensors": one for i in range(study.teachers.num_teachers)}
    )


def _set(study: Study, row: str, images: Images) -> Disk:
    asked = study.rows[row]
    recipe, count = study.recipes[asked.recipe], images.classes * asked.ipc
    steps = saved_steps(recipe) if asked.method in MATCHED else [0]
    saved = {f"{step:06d}/{name}": kind for step in steps for name, kind in _tensors(count, images).items()}
    files = {
        "distilled.safetensors": file_bytes(_tensors(count, images)),
        "saved.safetensors": file_bytes(saved),
    }
    kept = _set_checkpoint(recipe, count, images) if asked.method in MATCHED else 0
    return Disk("distill", row, files, kept)


def saved_steps(recipe: Recipe) -> list[int]:
    """After how many iterations a set is kept, the first and the last included."""
    return sorted({0, *range(recipe.save_every, recipe.iterations + 1, recipe.save_every), recipe.iterations})


def _tensors(count: int, images: Images) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        "images": ("F32", (count, images.channels, *images.side)),
        "label_logits": ("F32", (count, images.classes)),
        "learning_rate": ("F32", ()),
    }


def _set_checkpoint(recipe: Recipe, count: int, images: Images) -> int:
    """The last two: each the set, its velocity and the curves; and every saved set, whose files they share."""
    kinds = _tensors(count, images)
    lasting = [file_bytes({f"{step}.{name}": kind}) for step in saved_steps(recipe) for name, kind in kinds.items()]
    tensors = {f"{group}.{name}": kind for group in ("synthetic", "velocity") for name, kind in kinds.items()}
    curves = dict.fromkeys(("losses", "rates"), ("F32", (recipe.iterations,)))
    return sum(lasting) + 2 * file_bytes({**tensors, **curves})


def memory_of(study: Study, shapes: Mapping[str, Images]) -> dict[str, int]:
    """Bytes that a task of each stage holds at least: images, snapshots, what a step backward needs, by stage."""
    most = {"teachers": 0, "finetune": 0, "distill": 0}
    for view in study.views:
        images = _seen(study, view, shapes)
        network = network_of(study.network, images)
        seen, batch = 4 * images.values * images.train, 4 * activations(network)
        snapshots = 4 * network.num_parameters * (study.teachers.epochs + 1)
        # A new snapshot is joined to the others, and a checkpoint is brought to bytes: two copies of all for a moment.
        training = seen + batch * min(study.teachers.batch_size, images.train)
        most["teachers"] = max(most["teachers"], training + 3 * snapshots)
        most["finetune"] = max(most["finetune"], training) if view in study.grid.finetune else most["finetune"]
    for asked in study.rows.values():
        images, recipe = _seen(study, asked.view, shapes), study.recipes[asked.recipe]
        network, count = network_of(study.network, images), images.classes * asked.ipc
        graph = 4 * activations(network) * min(recipe.batch_size, count)
        way = 4 * network.num_parameters * (recipe.inner_steps + 1)
        steps = recipe.inner_steps if recipe.backend == "unroll" else 2
        held = 4 * images.values * images.train + way + steps * graph if asked.method in MATCHED else 0
        most["distill"] = max(most["distill"], held)
    return {stage: size for stage, size in most.items() if size}
