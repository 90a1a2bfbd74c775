"""The plan of a study: counts, steps, hours, bytes, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robustdd.devices import settled
from robustdd.params import Study
from robustdd.study.files import disk_of, memory_of
from robustdd.study.graph import STAGES
from robustdd.study.shapes import all_images
from robustdd.study.throughput import Measured
from robustdd.study.work import work_of


@dataclass(frozen=True)
class StagePlan:
    """One stage over all its ids: expensive steps and seconds (None where nothing is measured), bytes of its tensors.

    `checkpoints`: the most that one of its tasks keeps while it runs; `memory`: the least that one of them holds.
    """

    stage: str
    ids: int
    steps: int
    seconds: float | None
    disk: int
    checkpoints: int
    memory: int


def plan_of(study: Study, folder: Path, measured: Measured | None) -> list[StagePlan]:
    """What every stage of the study in `folder` will take; only images of one's own are looked at, to count them."""
    shapes = all_images(study, folder)
    work = work_of(study, shapes, settled(study.device))
    disk, memory = disk_of(study, shapes), memory_of(study, shapes)
    lines = []
    for name, stage in STAGES.items():
        own, files = [one for one in work if one.stage == name], [one for one in disk if one.stage == name]
        lines.append(
            StagePlan(
                stage=name,
                ids=len(stage.ids(study)),
                steps=sum(one.count for one in own),
                seconds=None if measured is None else measured.seconds(own),
                disk=sum(one.total for one in files),
                checkpoints=max((one.checkpoints for one in files), default=0),
                memory=memory.get(name, 0),
            )
        )
    return lines


def nearest(entries: Sequence[Measured], kind: str, device: str, threads: int) -> Measured | None:
    """What was measured on this very device and in as many threads; else on another of its kind; None: on none.

    Threads count on a CPU alone: an entry of another number is never taken for this one.
    """
    fitting = [one for one in entries if one.kind == kind and (kind == "cuda" or one.threads == threads)]
    return next((one for one in fitting if one.device == device), fitting[0] if fitting else None)
