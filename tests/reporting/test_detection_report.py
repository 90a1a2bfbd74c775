"""The detection tables of a report: every ranking, class by class, and what the subset is made of."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest

from robustdd.evaluation.label_errors import Detection
from robustdd.reporting import tables
from robustdd.reporting.label_quality import RANKINGS, view_quality
from robustdd.reporting.tabular import Table
from tests.support import example_study as example


def frame() -> pd.DataFrame:
    made, draw = example.reliability(), np.random.default_rng(0)
    made["dynamic_mean"] = made["dynamic"]
    made["small_loss"], made["confident"] = draw.random(len(made)), made["is_clean"] - 0.5
    codes = np.arange(len(made)) % 4
    made["observed_class"] = pd.Categorical.from_codes(codes, categories=pd.Index(["cat", "dog", "ant", "bee"]))
    return made


def lines(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.as_csv())))


def test_every_ranking_of_the_frame_is_scored() -> None:
    quality = view_quality("v", frame())
    assert list(quality.scores) == list(RANKINGS.values())
    assert quality.scores["confident learning (peer)"] == Detection(1.0, 1.0, 1.0)
    assert quality.scores["small loss (peer)"].auroc == pytest.approx(0.5, abs=0.1)
    assert [line["weight"] for line in lines(tables.quality_table([quality]))] == list(RANKINGS.values())


def test_the_classes_keep_their_names_and_order() -> None:
    found = lines(tables.class_table([view_quality("v", frame())]))
    assert len(found) == 4 * len(RANKINGS)
    assert [line["observed_class"] for line in found[:4]] == ["cat", "dog", "ant", "bee"]
    one = frame()
    one = one[one["observed_class"] == "dog"]
    expected = view_quality("v", one.drop(columns="observed_class")).scores["static (Eq. 6)"]
    assert float(found[1]["auroc"]) == pytest.approx(expected.auroc)


def test_the_balance_of_the_subset_stands_beside_that_of_the_whole_set() -> None:
    made = frame()
    made["in_subset"] = (made["observed_class"] != "bee") | (np.arange(len(made)) < 200)
    (line,) = lines(tables.subset_table([view_quality("v", made)]))
    assert (float(line["balance"]), float(line["subset_balance"])) == (1.0, 0.5)


def test_without_classes_there_is_no_table_of_them() -> None:
    quality = view_quality("v", frame().drop(columns="observed_class"))
    assert tables.class_table([quality]).rows == ()
    assert "balance" not in lines(tables.subset_table([quality]))[0]


def test_without_clean_labels_the_subset_is_told_all_the_same() -> None:
    quality = view_quality("v", frame().drop(columns="is_clean"))
    assert (quality.by_class, quality.scores, quality.subset_clean_share) == ({}, {}, None)
    (line,) = lines(tables.subset_table([quality]))
    assert float(line["balance"]) == 1.0 and 0 < float(line["subset_balance"]) <= 1 and "subset_clean_share" not in line
