"""A paired difference as cells of a table, as `precision_table` and `evidence_draws` have it."""

from __future__ import annotations

from robustdd.evaluation.statistics import PairedDifference
from robustdd.reporting.differences import Comparison
from robustdd.reporting.tabular import points

HEADER = ("difference", "from", "to (95 %)", "df", "verdict")


def cells(difference: PairedDifference, reach: float) -> list[str]:
    """What stands under `HEADER`, in percentage points; `reach` as in `Comparison`."""
    low, high = difference.interval or (None, None)
    verdict = Comparison("", 0, "", "", difference, reach).verdict
    return [points(difference.mean), points(low), points(high), str(difference.degrees), verdict]
