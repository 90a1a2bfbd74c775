"""The detection benchmark on a few digits: every score is there, and the table is that of the records."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.detection_cell import Data, Sizes, measure
from benchmarks.detection_table import RANKINGS, as_markdown
from robustdd.datasets import read
from robustdd.params import Dataset, Forgetting, Neighbours, Network, Noise, Subset, Teachers
from robustdd.study import params_of
from robustdd.whitening import fit

torch.set_num_threads(1)

SIZES = Sizes(
    images=200,
    network=Network(width=8, depth=2),
    forgetting=Forgetting(epochs=4, batch_size=32, learning_rate=0.1, network=Network(width=8, depth=2)),
    teachers=Teachers(num_teachers=2, epochs=4, batch_size=32, learning_rate=0.1, momentum=0.9, optimizer="sgd"),
    neighbours=Neighbours(k=5, backend="torch"),
    subset=Subset(),
)


@pytest.fixture(scope="module")
def record() -> dict[str, object]:
    train = read(Dataset(kind="digits")).train
    rows = torch.arange(0, 1400, 7)
    part = train.select(rows)
    images = fit(part.images, "standard", 0.0).apply(part.images)
    data = Data(images, rows, part.ids, train.labels, train.class_names)
    facts = {"cell": "digits-sym40", "seed": 0, "sizes": params_of(SIZES)}
    machine = {"device": "a processor", "torch": "2", "commit": "c0ffee"}
    return {**facts, **machine, **measure(data, Noise(kind="symmetric", rate=0.4), 0, SIZES)}


def test_every_ranking_is_scored_overall_and_in_each_class(record: dict[str, object]) -> None:
    plain = json.loads(json.dumps(record, allow_nan=False))
    assert plain["images"] == 200 and 50 < plain["wrong"] < 110
    assert set(plain["scores"]) == set(plain["by_class"]) == set(RANKINGS)
    assert all(len(scores) == 10 for scores in plain["by_class"].values())
    assert plain["subset"]["size"] == 120 == sum(plain["subset"]["class_sizes"])
    assert plain["cleanlab"]["found"] > 0
    assert plain["scores"]["static"]["auroc"] > 0.5
    assert set(plain["seconds"]) == {"forgetting", "teachers", "consistency", "cleanlab"}


def test_the_table_tells_means_and_deviations_over_the_seeds(record: dict[str, object]) -> None:
    first, second = json.loads(json.dumps([record, record]))
    second["seed"], second["scores"]["static"]["auroc"] = 1, first["scores"]["static"]["auroc"] - 0.1
    text = as_markdown([first, second])
    mean = first["scores"]["static"]["auroc"] - 0.05
    assert f"{mean:.3f} ± 0.071" in text
    assert "Seeds 0, 1" in text and "commit c0ffee" in text and "120" in text
    assert all(title in text for title in RANKINGS.values())
    assert "±" not in as_markdown([first]).partition("## AUROC")[2]
