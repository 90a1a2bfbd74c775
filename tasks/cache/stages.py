"""The stages, in an order in which they can run, and where the tasks of each are written."""

from __future__ import annotations

STAGES = (
    *("images", "labels", "forgetting", "teachers", "consistency", "subset", "finetune"),
    *("distill", "train-full", "evaluate", "report"),
)


def module_of(stage: str) -> str:
    """Name of the module of a stage's tasks."""
    return f"tasks.stages.{stage.replace('-', '_')}"
