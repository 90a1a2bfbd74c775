"""Which labels each kind of noise flips, and to what; golden numbers of the public generators."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.errors import UserError
from robustdd.noise.api import corrupt, observe, realised_rate, transition_matrix
from robustdd.noise.corrupt import counted_matrix, legacy_draws
from robustdd.noise.flips import CIFAR10, asymmetric_partners
from robustdd.noise.human import CIFAR100N, read_arrays
from robustdd.noise.superclasses import CIFAR100_SUPERCLASSES
from robustdd.params import Noise
from robustdd.rng import generator
from tests.data.real_data import real
from tests.reference import noise as reference

torch.set_num_threads(1)

CIFAR100 = tuple(sorted(name for group in CIFAR100_SUPERCLASSES for name in group))
NAMES = {"cifar10": CIFAR10, "cifar100": CIFAR100, "three": ("a", "b", "c")}
HERE = Path()


def matrix_of(noise: Noise, names: tuple[str, ...]) -> Tensor:
    return transition_matrix(noise, len(names), names)


def test_cifar10_flips_the_five_classes_of_the_literature() -> None:
    matrix = matrix_of(Noise(kind="asymmetric", rate=0.4), CIFAR10)
    expected = torch.eye(10, dtype=torch.float64)
    for clean, observed in ((9, 1), (2, 0), (4, 7), (3, 5), (5, 3)):
        expected[clean, clean], expected[clean, observed] = 1 - 0.4, 0.4
    assert torch.equal(matrix, expected)


def test_classes_are_known_by_name_not_by_place() -> None:
    turned = CIFAR10[3:] + CIFAR10[:3]
    partners = asymmetric_partners(turned)
    flips = {turned[clean]: turned[taken] for clean, taken in enumerate(partners) if clean != taken}
    assert flips == {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}


def test_every_class_of_cifar100_flips_within_its_superclass_the_mouse_too() -> None:
    partners = asymmetric_partners(CIFAR100)
    assert sorted(partners) == list(range(100)) and all(taken != label for label, taken in enumerate(partners))
    group_of = {name: place for place, group in enumerate(CIFAR100_SUPERCLASSES) for name in group}
    assert all(group_of[CIFAR100[taken]] == group_of[CIFAR100[label]] for label, taken in enumerate(partners))
    chain = ["hamster"]
    while len(chain) < 6:
        chain.append(CIFAR100[partners[CIFAR100.index(chain[-1])]])
    assert chain == ["hamster", "mouse", "rabbit", "shrew", "squirrel", "hamster"]


def test_the_legacy_noise_forgets_the_mouse_alone() -> None:
    legacy, ours = asymmetric_partners(CIFAR100, "ddlnl"), asymmetric_partners(CIFAR100)
    differing = {CIFAR100[label]: CIFAR100[taken] for label, taken in enumerate(legacy) if taken != ours[label]}
    assert differing == {"hamster": "rabbit", "mouse": "mouse"}
    assert matrix_of(Noise(kind="asymmetric", rate=0.2, legacy="ddlnl"), CIFAR100)[50, 50] == 1


def test_a_pair_flip_takes_the_next_class() -> None:
    matrix = matrix_of(Noise(kind="pairflip", rate=0.25), NAMES["three"])
    assert matrix.tolist() == [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0.25, 0.0, 0.75]]


@settings(deadline=None, max_examples=25)
@given(
    kind=st.sampled_from(["symmetric", "asymmetric", "pairflip"]),
    names=st.sampled_from([CIFAR10, CIFAR100]),
    rate=st.floats(0, 0.9),
    seed=st.integers(0, 100),
    draw=st.sampled_from(["bernoulli", "exact"]),
)
def test_a_flip_ends_where_the_matrix_says_at_its_rate(
    kind: str, names: tuple[str, ...], rate: float, seed: int, draw: str
) -> None:
    noise = Noise(kind=kind, rate=rate, draw=draw, seed=seed)  # type: ignore[arg-type]
    clean = torch.randint(len(names), (5000,), generator=generator("clean", seed))
    observed = observe(noise, clean, names, HERE)
    assert bool((observed.matrix[clean, observed.labels] > 0).all())
    expected = float(1 - observed.matrix[clean, clean].mean())
    slack = 5 * (expected * (1 - expected) / 5000) ** 0.5 if draw == "bernoulli" else len(names) / 5000
    assert abs(realised_rate(observed.labels, clean) - expected) <= slack + 1e-9


def test_a_noise_seed_is_the_noises_own() -> None:
    clean = torch.arange(2000) % 10
    first, second = (
        observe(Noise(kind="symmetric", rate=0.4, seed=seed), clean, CIFAR10, HERE).labels for seed in (0, 1)
    )
    matrix = transition_matrix(Noise(kind="symmetric", rate=0.4), 10)
    assert torch.equal(first, corrupt(clean, matrix, "bernoulli", generator("noise", 0)))
    assert not torch.equal(first, second)


@settings(deadline=None, max_examples=10)
@given(st.floats(0, 0.9), st.sampled_from(["symmetric", "asymmetric"]), st.sampled_from([CIFAR10, CIFAR100]))
def test_legacy_draws_are_a_chain_of_binomials_from_one_fixed_stream(
    rate: float, kind: str, names: tuple[str, ...]
) -> None:
    clean = torch.arange(300) % len(names)
    noise = Noise(kind=kind, rate=rate, legacy="ddlnl")  # type: ignore[arg-type]
    drawn = observe(noise, clean, names, HERE).labels
    assert drawn.tolist() == reference.legacy(clean.tolist(), matrix_of(noise, names).tolist())


def test_legacy_draws_stay_what_they_are() -> None:
    clean = torch.arange(1000) % 10
    drawn = legacy_draws(clean, transition_matrix(Noise(kind="symmetric", rate=0.4), 10))
    assert int((drawn != clean).sum()) == 399
    assert hashlib.sha256(drawn.numpy().tobytes()).hexdigest()[:16] == "45ba8362a48d9b40"


def test_the_counted_matrix_is_that_of_the_labels() -> None:
    clean, observed = torch.tensor([0, 0, 0, 0, 2]), torch.tensor([0, 1, 1, 2, 0])
    counted = counted_matrix(observed, clean, 3)
    assert counted.tolist() == [[0.25, 0.5, 0.25], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("noise", "names", "message"),
    [
        (Noise(kind="asymmetric", rate=0.2), ("a", "b"), "expected the class names of CIFAR-10 or CIFAR-100, got 2"),
        (Noise(kind="asymmetric", rate=0.2), CIFAR10[:9], "CIFAR-100, got 9 others; use kind pairflip or matrix"),
        (Noise(kind="pairflip", rate=0.2), ("a",), "pairflip noise: expected at least 2 classes, got 1"),
        (Noise(kind="human", annotation="worse"), CIFAR10, "read, not drawn"),
        (Noise(kind="human", annotation="worse", rate=0.1), CIFAR10, "rate 0.1: has no meaning for kind human"),
        (Noise(kind="none", matrix_file="a.csv"), CIFAR10, "noise matrix_file: has no meaning for kind none"),
    ],
)
def test_noise_that_fits_no_class_is_refused(noise: Noise, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        matrix_of(noise, names)


@pytest.mark.parametrize(
    ("kind", "rate", "wrong"),
    [("symmetric", 0.2, 10_038), ("symmetric", 0.4, 20_042), ("asymmetric", 0.2, 4_939), ("asymmetric", 0.4, 9_873)],
)
def test_ddlnls_labels_of_cifar10_have_their_known_counts(kind: str, rate: float, wrong: int) -> None:
    file = real("cifar10/plain_text/train-00000-of-00001.parquet")
    clean = torch.from_numpy(pq.read_table(file, columns=["label"])["label"].to_numpy().copy())
    noise = Noise(kind=kind, rate=rate, legacy="ddlnl")  # type: ignore[arg-type]
    assert int((observe(noise, clean, CIFAR10, HERE).labels != clean).sum()) == wrong


@pytest.mark.parametrize(
    ("kind", "rate", "wrong"),
    [("symmetric", 0.2, 10_054), ("symmetric", 0.4, 20_112), ("asymmetric", 0.2, 9_877), ("asymmetric", 0.4, 19_743)],
)
def test_ddlnls_labels_of_cifar100_have_their_known_counts(kind: str, rate: float, wrong: int) -> None:
    clean = read_arrays(real("cifar-n/CIFAR-100_human.pt"), CIFAR100N)["clean_label"]
    noise = Noise(kind=kind, rate=rate, legacy="ddlnl")  # type: ignore[arg-type]
    observed = observe(noise, clean, CIFAR100, HERE).labels
    assert int((observed != clean).sum()) == wrong
    mice = clean == CIFAR100.index("mouse")
    assert bool((observed[mice] != clean[mice]).any()) == (kind == "symmetric")
