"""Seconds of a step on a device: measured once a kind of device, and for other sizes as the measured ones suggest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

from robustdd.errors import RobustddError
from robustdd.study.shapes import activations, products
from robustdd.study.work import Step, Work

TABLE = "throughput.json"
"""The measured table, a file of this package; `python -m robustdd plan --measure` adds a device to it."""


@dataclass(frozen=True)
class Case:
    """One measured step: `terms` as `terms_of` has them, and the median of its seconds."""

    kind: str
    terms: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Measured:
    """What was measured on one device with one number of threads."""

    device: str
    kind: str
    """`cpu` or `cuda`."""
    threads: int
    torch: str
    date: str
    cases: tuple[Case, ...]

    def seconds(self, work: Sequence[Work]) -> float:
        """Seconds that all of this takes, one step after the other."""
        return sum(one.count * self.step_seconds(one.step) for one in work)

    def step_seconds(self, step: Step) -> float:
        """Seconds of one step: no coefficient of the fit is negative.

        Settings of the engine that were not measured, for want of a compiler, are the slower ones that were.
        """
        kind, known = step.kind, {case.kind for case in self.cases}
        while kind not in known and "," in kind:
            kind = kind.rpartition(",")[0]
        weights = _fit(tuple(case for case in self.cases if case.kind == kind))
        return sum(weight * term for weight, term in zip(weights, terms_of(step), strict=True))


def terms_of(step: Step) -> tuple[float, ...]:
    """What the time of a step is a sum of: one call; its multiplications; the values that it writes and reads.

    `neighbours` compares all with all.
    """
    if step.kind == "neighbours":
        return 1.0, float(step.batch**2 * step.network.num_features), float(step.batch**2)
    return 1.0, float(step.batch * products(step.network)), float(step.batch * activations(step.network))


@cache
def _fit(cases: tuple[Case, ...]) -> tuple[float, ...]:
    """Coefficients, none negative, with the smallest relative errors over the cases."""
    import numpy as np
    from scipy.optimize import nnls

    if not cases:
        raise RobustddError(
            "throughput table: a kind of step was never measured; run `python -m robustdd plan --measure`"
        )
    rows = np.array([[term / case.seconds for term in case.terms] for case in cases])
    scale = rows.max(0)
    found, _ = nnls(rows / scale, np.ones(len(cases)))
    return tuple(float(value) for value in found / scale)


def read_table() -> list[Measured]:
    """Every device that was measured."""
    text = resources.files("robustdd.study").joinpath(TABLE).read_text(encoding="utf-8")
    return [_measured(entry) for entry in json.loads(text)]


def _measured(entry: dict[str, Any]) -> Measured:
    cases = tuple(Case(case["kind"], tuple(case["terms"]), case["seconds"]) for case in entry["cases"])
    return Measured(**{**entry, "cases": cases})


def table_bytes(entries: Sequence[Measured]) -> bytes:
    """The table as it is kept, one entry a device and number of threads."""
    ordered = sorted(entries, key=lambda one: (one.kind, one.device, one.threads))
    return (json.dumps([asdict(one) for one in ordered], indent=1) + "\n").encode()


def with_entry(entries: Sequence[Measured], new: Measured) -> list[Measured]:
    """The entries, the new one in the place of the older one of the same device and number of threads."""
    return [new, *(one for one in entries if (one.device, one.threads) != (new.device, new.threads))]
