"""A made-up study for the tests of tables, figures and pages; its numbers are drawn, not measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from robustdd.reporting.records import CellNoise, Curve, FullAccuracy, Pictures, Provenance, RowAccuracy, StudyResults

DIGITS = tuple(str(digit) for digit in range(10))
MEANS = {"random": 0.62, "selected": 0.73, "datm": 0.88, "sgr": 0.90, "ours": 0.905}


def row(method: str, seed: int = 0, ipc: int = 1, accuracy: tuple[float, ...] | None = None) -> RowAccuracy:
    view = "digits-sym40-plain" if method in ("random", "selected", "datm") else "digits-sym40-sgr"
    draw = np.random.default_rng([ord(method[0]), ord(method[1]), seed, ipc])
    drawn = accuracy or tuple(
        float(x) for x in np.clip(MEANS[method] + 0.01 * np.log(ipc) + draw.normal(0, 0.01, 5), 0, 1).round(4)
    )
    name = f"{view}-{method}-ipc{ipc}-s{seed}"
    return RowAccuracy(name, "digits-sym40", view, method, ipc, seed, "demo", tuple(range(len(drawn))), drawn, 397)


def reliability(images: int = 400) -> pd.DataFrame:
    draw = np.random.default_rng(7)
    clean = draw.random(images) > 0.4
    static = np.where(clean, draw.beta(8, 2, images), draw.beta(2, 6, images))
    dynamic = np.where(clean, draw.beta(9, 3, images), draw.beta(1, 6, images))
    mean = (static + dynamic) / 2
    frame = pd.DataFrame(
        {"id": [f"digits/{n:05d}" for n in range(images)], "static": static, "dynamic": dynamic, "mean": mean}
    )
    frame["variance"] = (static - dynamic) ** 2 / 12
    frame["in_subset"] = mean >= np.quantile(mean, 0.4)
    frame["is_clean"] = clean
    return frame


def curve(length: int = 120, seed: int = 0) -> Curve:
    draw = np.random.default_rng(seed)
    losses = 0.35 + 0.5 * np.exp(-np.arange(length) / 30) + draw.normal(0, 0.04, length)
    rates = 0.01 + 0.02 * (1 - np.exp(-np.arange(length) / 50))
    return Curve(tuple(map(float, losses)), tuple(map(float, rates)), 3, length)


def pictures(ipc: int = 1, channels: int = 1, size: int = 8) -> Pictures:
    made = torch.Generator().manual_seed(0)
    smooth = torch.rand(10 * ipc, channels, 4, 4, generator=made)
    before = torch.nn.functional.interpolate(smooth, size=(size, size), mode="bilinear")
    after = before + 0.2 * torch.randn(before.shape, generator=made)
    return Pictures(before, after, DIGITS)


def run(stage: str, ident: str, seconds: float, minute: int) -> Provenance:
    versions = {"torch": "2.13.0", "robustdd": "0.1.0", "python": "3.11.7"}
    return Provenance(stage, ident, "e34012377aa0", "cpu", 1, versions, seconds, f"2026-11-22T16:{minute:02d}:00Z")


def study(seeds: int = 1, sizes: tuple[int, ...] = (1,)) -> StudyResults:
    rows = tuple(row(method, seed, ipc) for ipc in sizes for method in MEANS for seed in range(seeds))
    distilled = [one.row for one in rows if one.method in ("datm", "sgr", "ours")]
    matrix = torch.full((10, 10), 0.4 / 9).fill_diagonal_(0.6)
    full = FullAccuracy("digits-sym40", (0, 1, 2), (0.861, 0.853, 0.866), (0.91, 0.905, 0.914), (7, 6, 9), 397)
    return StudyResults(
        name="demo",
        rows=rows,
        full=(full,),
        curves={name: curve(seed=at) for at, name in enumerate(distilled)},
        pictures={name: pictures() for name in distilled[:3]},
        reliability={"digits-sym40-sgr": reliability()},
        noise={"digits-sym40": CellNoise(matrix, DIGITS, 0.397)},
        settings={
            "name": "demo",
            "teachers": {"num_teachers": 4, "epochs": 20},
            "rows": {"a": {"view": "b", "ipc": 1}},
        },
        provenance=(
            run("images", "digits", 2.1, 1),
            run("teachers", "digits-sym40-sgr", 65.2, 3),
            run("report", "demo", 3725, 9),
        ),
    )
