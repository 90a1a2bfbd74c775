"""Images kept as bytes are the same to all that looks at them as images kept as floats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from robustdd.data import lazy_images as pixels
from robustdd.data.lazy_images import Images, WhitenedBytes, batches, part, whitened
from robustdd.data.whitening import fit
from robustdd.distillation.initialisation import random_start, selected_start
from robustdd.evaluation.evaluate import evaluate_synthetic, train_on_noisy
from robustdd.evaluation.likelihood import observed_log_probability
from robustdd.networks.convnet import ConvNet
from robustdd.params import Evaluate, Forgetting, Neighbours, Network, Teachers, TrainFull
from robustdd.rng import generator
from robustdd.trajectories.clean_targets import clean_target
from robustdd.trajectories.teachers import train_teacher
from robustdd.weighting.consistency import consistency
from robustdd.weighting.forgetting import halves, second_split

torch.set_num_threads(1)

NETWORK = ConvNet(3, (8, 8), 3, 4, 2)
TEACHERS = Teachers(epochs=2, batch_size=16, learning_rate=0.05, optimizer="sgd", warmup_share=0.5)
BYTES = torch.randint(256, (60, 3, 8, 8), dtype=torch.uint8, generator=generator("bytes"))
OBSERVED = torch.randint(3, (60,), generator=generator("observed"))
FINALS = torch.stack([NETWORK.initial(generator("final", index)) for index in range(2)])


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, WhitenedBytes]:
    """The same standardised images as floats and as bytes: elementwise, so that the bits are the same."""
    whitening, device = fit(BYTES, "standard", 0.0), torch.device("cpu")
    floats = whitened(BYTES, whitening, device)
    monkeypatch.setattr(pixels, "FLOAT_BYTES", 0)
    kept = whitened(BYTES, whitening, device)
    assert isinstance(floats, Tensor) and isinstance(kept, WhitenedBytes)
    return floats, kept


def taught(images: Images) -> Tensor:
    weights = torch.rand(60, generator=generator("weights"))
    return train_teacher(NETWORK, images, OBSERVED, weights, 0.5, True, TEACHERS, Neighbours(k=3), 0).snapshots


def forgotten(images: Images) -> Tensor:
    params = Forgetting(epochs=2, batch_size=16, network=Network(4, 2))
    record = second_split(NETWORK, images, OBSERVED, *halves(60, 0), params, 0)
    return torch.stack([record.learned, record.forgotten])


def selected(images: Images) -> Tensor:
    chosen = selected_start(NETWORK, FINALS, images, OBSERVED, 4, generator("order"))
    begun = chosen.begin(images, 0.1)
    return torch.cat([begun.images.flatten(), begun.label_logits.flatten()])


def drawn(images: Images) -> Tensor:
    return random_start(OBSERVED, 3, 2, generator("order"), learnable=True).begin(images, 0.1).images


def tuned(images: Images) -> Tensor:
    chosen = OBSERVED < 2
    return clean_target(NETWORK, FINALS[0], part(images, chosen), OBSERVED[chosen], TEACHERS, 2, 0, 0)


def trained(images: Images) -> Tensor:
    params = TrainFull(epochs=2, batch_size=16, decay_epochs=(1,))
    result = train_on_noisy(NETWORK, images, OBSERVED, images, OBSERVED, params, 0)
    return torch.tensor(result.curve)


def evaluated(images: Images) -> Tensor:
    synthetic = random_start(OBSERVED, 3, 2, generator("order"), learnable=True).begin(images, 0.1)
    params = Evaluate(epochs=3, batch_size=4, decay_epoch=2)
    found = evaluate_synthetic(NETWORK, synthetic, images, OBSERVED, params, 0, holdout=(images, OBSERVED))
    return torch.tensor(list(asdict(found).values()), dtype=torch.float64)


LOOKS: list[Callable[[Images], Tensor]] = [
    lambda images: torch.cat(list(batches(images, 7))),
    lambda images: consistency(NETWORK, FINALS[0], images, OBSERVED, Neighbours(k=3)),
    lambda images: observed_log_probability(NETWORK, FINALS[0], images, OBSERVED),
    *(taught, forgotten, selected, drawn, tuned, trained, evaluated),
]


@pytest.mark.parametrize("look", LOOKS)
def test_bytes_and_floats_give_the_same_bits(
    both: tuple[Tensor, WhitenedBytes], look: Callable[[Images], Tensor]
) -> None:
    floats, kept = both
    before = kept.pixels.clone()
    assert torch.equal(look(floats), look(kept))
    assert torch.equal(kept.pixels, before)


def test_they_have_one_shape_and_zca_too(both: tuple[Tensor, WhitenedBytes]) -> None:
    floats, kept = both
    assert (len(kept), kept.shape, kept.device, kept.dtype) == (60, floats.shape, floats.device, floats.dtype)
    whitening = fit(BYTES, "zca", 0.1)
    lazily = whitened(BYTES, whitening, torch.device("cpu"))
    rows = torch.tensor([5, 0, 59])
    torch.testing.assert_close(lazily[rows], whitening.apply(BYTES)[rows], rtol=1e-5, atol=1e-5)
    assert isinstance(part(lazily, rows), WhitenedBytes) and len(part(lazily, OBSERVED == 0)) == int(
        (OBSERVED == 0).sum()
    )
