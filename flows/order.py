"""Which stages a study has, and what each needs: the order in which `flows.reproduce` runs them."""

from __future__ import annotations

from robustdd.params import Study

Place = tuple[str, str]
"""A stage and an id."""


def needs(study: Study) -> dict[Place, frozenset[Place]]:
    """Every stage of a study with the stages whose artifacts it reads."""
    cells, views, rows, grid = study.cells, study.views, study.rows, study.grid
    datasets = {cell: asked.dataset for cell, asked in cells.items()}
    table: dict[Place, set[Place]] = {("images", dataset): set() for dataset in study.datasets}
    for cell in cells:
        table["labels", cell] = {("images", datasets[cell])}
    for cell in grid.forgetting:
        table["forgetting", cell] = {("labels", cell)}
    for view, seen in views.items():
        table["teachers", view] = {(seen.weights_from, seen.cell), ("labels", seen.cell)}
    for view in grid.reliability:
        table["consistency", view] = {("teachers", view)}
        table["subset", view] = {("consistency", view), ("forgetting", views[view].cell)}
    for view in grid.finetune:
        table["finetune", view] = {("teachers", view), ("subset", view)}
    for row, asked in rows.items():
        table["distill", row] = {("teachers", asked.view), (asked.targets, asked.view)}
        table["evaluate", row] = {("distill", row)}
    for cell in grid.full:
        table["train-full", cell] = {("labels", cell)}
    table["report", study.name] = set(table)
    return {place: frozenset(needed) for place, needed in table.items()}
