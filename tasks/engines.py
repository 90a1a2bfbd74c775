"""Engine settings of the units of a study, settled: what their keys hold."""

from __future__ import annotations

from robustdd.engine import student_engine, teacher_engine
from robustdd.params import Dataset, Engine, Study


def distilling(study: Study, row: str, device: str) -> Engine:
    """Settings of a row's distillation on a kind of device."""
    asked = study.rows[row]
    dataset = _dataset(study, asked.view)
    return student_engine(study.engine, study.network, dataset, study.recipes[asked.recipe], device)


def training(study: Study, view: str, device: str) -> Engine:
    """Settings of a view's teachers, and of their clean targets, on a kind of device."""
    return teacher_engine(study.engine, study.network, _dataset(study, view), study.teachers, device)


def _dataset(study: Study, view: str) -> Dataset:
    return study.datasets[study.cells[study.views[view].cell].dataset]
