"""One cell of the detection benchmark: the pipeline's own functions from labels to subset, then every score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from robustdd.baselines.confident import confident_margin
from robustdd.baselines.small_loss import small_loss
from robustdd.consistency import consistency
from robustdd.convnet import ConvNet
from robustdd.detection import detection_by_class, detection_scores, subset_quality
from robustdd.forgetting import forgetting_score, halves, second_split, static_weight
from robustdd.noise import observe, realised_rate
from robustdd.params import Forgetting, Neighbours, Network, Noise, Subset, Teachers
from robustdd.reliability import confidence_variance, mean_confidence, reliable_subset
from robustdd.teachers import Teacher, train_teacher
from robustdd.training import predict
from robustdd.weights import blend_maxima, blended_weight

T = TypeVar("T")


@dataclass(frozen=True)
class Sizes:
    """What the benchmark is run at; everything else is a default of params."""

    images: int
    network: Network
    forgetting: Forgetting
    teachers: Teachers
    neighbours: Neighbours
    subset: Subset


@dataclass(frozen=True, eq=False)
class Data:
    """Whitened training images float32 [n, c, h, w], the rows they have among all, and the labels of all."""

    images: Tensor
    rows: Tensor
    ids: tuple[str, ...]
    clean: Tensor
    class_names: tuple[str, ...]


class Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, part: str, work: Callable[[], T]) -> T:
        started = time.monotonic()
        done = work()
        self.seconds[part] = round(self.seconds.get(part, 0.0) + time.monotonic() - started, 1)
        return done


def measure(data: Data, noise: Noise, seed: int, sizes: Sizes) -> dict[str, Any]:
    """Every score of one cell; the noise covers all images, so that the labels are those of the whole set."""
    clock = Clock()
    labels = observe(noise, data.clean, data.class_names, Path()).labels
    observed, clean = labels[data.rows], data.clean[data.rows]
    static, stages = clock("forgetting", lambda: _static(data, observed, clean, seed, sizes))
    teachers = [
        clock("teachers", lambda index=index: _teacher(data, observed, static, index, seed, sizes))
        for index in range(sizes.teachers.num_teachers)
    ]
    dynamic = clock("consistency", lambda: _dynamic(data, observed, teachers, sizes))
    network = _network(data, sizes.network)
    logits = torch.stack([predict(network, teacher.snapshots[-1], data.images) for teacher in teachers])
    blends = [teacher.blends[-1] for teacher in teachers]
    raw = torch.stack([blended_weight(static, part, blend) for part, blend in zip(dynamic, blends, strict=True)])
    chosen = reliable_subset(static, confidence_variance(raw), data.ids, sizes.subset)
    own = {"static": static, "dynamic": dynamic[-1], "dynamic_mean": dynamic.mean(0), "mean": mean_confidence(raw)}
    weights = {**own, **_peers(logits, observed)}
    right, classes = observed == clean, len(data.class_names)
    return {
        "images": len(observed),
        "wrong": int((~right).sum()),
        "realised_rate_of_all": realised_rate(labels, data.clean),
        "scores": {name: asdict(detection_scores(weight, right)) for name, weight in weights.items()},
        "by_class": {
            name: [asdict(score) for score in detection_by_class(weight, right, observed, classes)]
            for name, weight in weights.items()
        },
        "distinct": {name: len(weight.unique()) for name, weight in weights.items()},
        "subset": asdict(subset_quality(chosen, right, observed, classes)),
        "cleanlab": clock("cleanlab", lambda: _cleanlab(logits, observed, right)),
        "forgetting": stages,
        "accuracy_on_clean_labels": (logits.argmax(2) == clean).double().mean(1).tolist(),
        "seconds": clock.seconds,
    }


def _network(data: Data, size: Network) -> ConvNet:
    _, channels, height, width = data.images.shape
    return ConvNet(channels, (height, width), len(data.class_names), size.width, size.depth)


def _static(data: Data, observed: Tensor, clean: Tensor, seed: int, sizes: Sizes) -> tuple[Tensor, dict[str, float]]:
    """Static weights, both directions, and the share of right and of wrong labels that the first stage remembered."""
    network, count = _network(data, sizes.forgetting.network), len(observed)
    first, second = halves(count, seed)
    records = [
        second_split(network, data.images, observed, *pair, sizes.forgetting, seed)
        for pair in ((first, second), (second, first))
    ]
    rows = torch.cat([record.rows for record in records])
    learned, forgotten = torch.zeros(count), torch.zeros(count)
    learned[rows] = torch.cat([record.learned for record in records]).float()
    forgotten[rows] = torch.cat([record.forgotten for record in records]).float()
    remembered = torch.cat([record.remembered for record in records]).double()
    right = (observed == clean)[rows]
    stages = {
        "remembered_right": float(remembered[right].mean()),
        "remembered_wrong": float(remembered[~right].mean()),
    }
    return static_weight(forgetting_score(learned, forgotten, sizes.forgetting.learn_share)), stages


def _teacher(data: Data, observed: Tensor, static: Tensor, index: int, seed: int, sizes: Sizes) -> Teacher:
    params = sizes.teachers
    maximum = blend_maxima(params.num_teachers, params.ladder)[index]
    network = _network(data, sizes.network)
    weights = static.float()
    return train_teacher(network, data.images, observed, weights, maximum, True, params, sizes.neighbours, index)


def _dynamic(data: Data, observed: Tensor, teachers: Sequence[Teacher], sizes: Sizes) -> Tensor:
    """Dynamic weights [P, n] at the start of the last epoch, as the consistency stage forms them."""
    network = _network(data, sizes.network)
    parts = [
        consistency(network, one.snapshots[-2], data.images, observed, sizes.neighbours)
        if one.last_dynamic is None
        else one.last_dynamic
        for one in teachers
    ]
    return torch.stack(parts).double()


def _peers(logits: Tensor, observed: Tensor) -> dict[str, Tensor]:
    """Peers on the last snapshots' logits [P, n, C] of the training images."""
    picked = observed.expand(len(logits), -1)[..., None]
    log_probability = logits.double().log_softmax(2).gather(2, picked).squeeze(2)
    return {
        "small_loss": small_loss(log_probability),
        "confident": confident_margin(log_probability.exp().mean(0), observed),
    }


def _cleanlab(logits: Tensor, observed: Tensor, right: Tensor) -> dict[str, Any]:
    """What cleanlab's find_label_issues, by its defaults, takes for wrong."""
    from cleanlab.filter import find_label_issues

    probabilities = logits.double().softmax(2).mean(0)
    found = torch.from_numpy(find_label_issues(observed.numpy(), probabilities.numpy(), n_jobs=1))
    hits = int((found & ~right).sum())
    return {
        "found": int(found.sum()),
        "precision": hits / int(found.sum()) if found.any() else None,
        "recall": hits / int((~right).sum()) if (~right).any() else None,
    }
