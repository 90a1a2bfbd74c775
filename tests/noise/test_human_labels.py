"""The importer of CIFAR-N: the published bytes alone, arrays of numbers alone, images in the published order alone."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from robustdd.data.data_folder import VARIABLE
from robustdd.errors import UserError
from robustdd.noise import human as module
from robustdd.noise.api import observe
from robustdd.noise.flips import CIFAR10
from robustdd.noise.human import CIFAR10N, CIFAR100N, HumanFile, human_labels, read_arrays
from robustdd.params import Noise
from tests.data.real_data import real

torch.set_num_threads(1)

CLEAN = np.arange(40) % 10


def saved(path: Path, content: Any) -> Path:
    """A checkpoint as an old numpy would have left it, which is how CIFAR-N is published."""
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data.replace(b"numpy._core.", b"numpy.core."))
    return path


def spec_of(path: Path) -> HumanFile:
    data = path.read_bytes()
    return replace(CIFAR10N, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def arrays(clean: np.ndarray = CLEAN) -> dict[str, np.ndarray]:
    keys = enumerate(CIFAR10N.keys.values(), start=1)
    return {"clean_label": clean, **{key: (clean + shift) % 10 for shift, key in keys}}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = saved(tmp_path / CIFAR10N.name, arrays())
    monkeypatch.setitem(module.FILES, "worse", spec_of(path))
    return path


def test_the_labels_of_the_annotation_are_given(published: Path) -> None:
    labels = human_labels("worse", published.name, published.parent, torch.from_numpy(CLEAN))
    assert labels.dtype == torch.int64 and labels.tolist() == [(label + 5) % 10 for label in CLEAN]


def test_without_a_path_the_file_is_found_by_the_environment(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cifar-n").mkdir()
    os.rename(published, tmp_path / "cifar-n" / CIFAR10N.name)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert len(human_labels("worse", None, Path("/"), torch.from_numpy(CLEAN))) == 40
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(UserError, match=r"human labels worse: give its path in params\.yaml, or set ROBUSTDD_DATA"):
        human_labels("worse", None, Path("/"), torch.from_numpy(CLEAN))


def permuted(clean: Tensor) -> Tensor:
    return torch.cat((clean[1:2], clean[:1], clean[2:]))


@pytest.mark.parametrize(
    ("clean", "message"),
    [
        (permuted(torch.from_numpy(CLEAN)), r"another order \(2 clean labels differ .*torchvision's.*not TFDS's"),
        (torch.from_numpy(CLEAN)[:30], "expected its 40 training images, got 30"),
        (torch.zeros(40, dtype=torch.int64), "36 clean labels are not those of CIFAR-10's training images"),
    ],
)
def test_images_in_another_order_and_other_images_are_refused(published: Path, clean: Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        human_labels("worse", str(published), Path(), clean)


def test_a_reordered_file_is_refused_by_its_bytes(published: Path) -> None:
    saved(published, arrays(np.random.default_rng(0).permutation(CLEAN)))
    with pytest.raises(UserError, match=r"is not CIFAR-10_human\.pt as published .*TFDS-ordered"):
        human_labels("worse", str(published), Path(), torch.from_numpy(CLEAN))


class Evil:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.canary}",))


@pytest.mark.parametrize("known", [False, True], ids=["other bytes", "bytes that were pinned by mistake"])
def test_a_pickle_that_runs_code_runs_none(tmp_path: Path, known: bool) -> None:
    canary = tmp_path / "canary"
    path = saved(tmp_path / CIFAR10N.name, {**arrays(), "worse_label": Evil(canary)})
    message = "a dict of arrays of numbers and nothing else" if known else "is not CIFAR-10_human.pt as published"
    with pytest.raises(UserError, match=message):
        read_arrays(path, spec_of(path) if known else CIFAR10N)
    assert not canary.exists()


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = saved(tmp_path / "file.pt", {**arrays(), "clean_label": np.array([Evil(canary)], dtype=object)})
    with pytest.raises(UserError, match="a dict of arrays of numbers and nothing else"):
        read_arrays(path, spec_of(path))
    assert not canary.exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02.", b"not a pickle"])
def test_bytes_that_are_no_checkpoint_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(data)
    with pytest.raises(UserError, match="is not CIFAR-10_human"):
        read_arrays(path, CIFAR10N)
    with pytest.raises(UserError, match="nothing else"):
        read_arrays(path, spec_of(path))


def test_a_missing_file_a_folder_and_an_unknown_annotation_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_arrays(path, CIFAR10N)
    with pytest.raises(UserError, match="expected one of aggre, random1, random2, random3, worse, noisy, got 'worst'"):
        human_labels("worst", None, tmp_path, torch.from_numpy(CLEAN))


WRONG = {"aggre": 4_505, "random1": 8_617, "random2": 9_061, "random3": 8_820, "worse": 20_104}
WORSE = [5309, 6053, 5342, 4673, 4040, 5668, 4203, 5273, 4629, 4810]


@pytest.mark.parametrize("annotation", WRONG)
def test_cifar10n_has_its_known_numbers_on_the_real_images_labels(annotation: str) -> None:
    images, file = real("cifar10/plain_text/train-00000-of-00001.parquet"), real("cifar-n/CIFAR-10_human.pt")
    clean = torch.from_numpy(pq.read_table(images, columns=["label"])["label"].to_numpy().copy())
    observed = observe(Noise(kind="human", annotation=annotation, file=str(file)), clean, CIFAR10, Path())  # type: ignore[arg-type]
    assert int((observed.labels != clean).sum()) == WRONG[annotation]
    assert float((1 - observed.matrix.diag()).mean()) == pytest.approx(WRONG[annotation] / 50_000)
    assert "CC BY-NC 4.0" in observed.facts["licence"]
    if annotation == "worse":
        assert observed.labels.bincount().tolist() == WORSE
    with pytest.raises(UserError, match="another order"):
        human_labels(annotation, str(file), Path(), clean.flip(0))


def test_cifar100n_has_its_known_numbers() -> None:
    path = real("cifar-n/CIFAR-100_human.pt")
    clean = read_arrays(path, CIFAR100N)["clean_label"]
    noisy = human_labels("noisy", str(path), Path(), clean)
    assert int((noisy != clean).sum()) == 20_100
    assert (int(noisy.bincount().min()), int(noisy.bincount().max())) == (199, 865)


def test_cifar100ns_coarse_labels_are_our_superclasses() -> None:
    from robustdd.noise.superclasses import CIFAR100_SUPERCLASSES

    plain = module._load(real("cifar-n/CIFAR-100_human.pt").read_bytes(), Path())
    names = sorted(name for group in CIFAR100_SUPERCLASSES for name in group)
    together: dict[int, set[str]] = {}
    for fine, coarse in zip(plain["clean_label"].tolist(), plain["clean_coarse_label"], strict=True):
        together.setdefault(coarse, set()).add(names[fine])
    assert sorted(map(sorted, together.values())) == sorted(map(list, CIFAR100_SUPERCLASSES))
    pairs = zip(plain["noisy_coarse_label"], plain["clean_coarse_label"], strict=True)
    assert sum(noisy != clean for noisy, clean in pairs) == 13_202
