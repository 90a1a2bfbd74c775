"""DATM's initialisation, image by image."""

from __future__ import annotations

from torch import Tensor


def predicted_rows(predictions: list[list[int]], label: int, order: list[int], ipc: int) -> list[int]:
    """Rows of `order` that teacher 0 predicts as `label`, then teacher 1's not yet taken, ...; at most `ipc`."""
    rows: list[int] = []
    for teacher in predictions:
        for row in order:
            if len(rows) < ipc and row not in rows and teacher[row] == label:
                rows.append(row)
    return rows


def mean_logits(logits: Tensor, row: int, label: int) -> list[float] | None:
    """Mean over the teachers that predict `label`, of logits [teachers, n, C]; None where there is none."""
    right = [teacher[row].tolist() for teacher in logits if int(teacher[row].argmax()) == label]
    return [sum(values) / len(right) for values in zip(*right, strict=True)] if right else None
