"""What a report reads: one frozen dataclass for every JSON file that a stage leaves, and the study made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from robustdd.errors import CorruptArtifact, UserError
from robustdd.params import Count, Index, NonNegative, Share

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

Kind = TypeVar("Kind")


def read_json(path: Path, kind: type[Kind]) -> Kind:
    """Read `path` as a `kind`, a dataclass or a container of them.

    Strict: no missing key, no number in a string, no NaN; keys that nobody asks for are ignored. CorruptArtifact, in
    one line with the place, when the file is missing, no JSON, or no such thing.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        advice = "build it with `dvc repro` or fetch it with `dvc pull`"
        raise CorruptArtifact(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    except UserError as error:
        raise CorruptArtifact(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CorruptArtifact(f"{path}: {place}: {first['msg']}; build it again with `dvc repro`") from error


class Record:
    """A dataclass that stands in a JSON file of its own."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"strict": True, "allow_inf_nan": False}

    @classmethod
    def from_json(cls, path: Path) -> Self:
        """Read the record in `path`. CorruptArtifact as `read_json`."""
        return read_json(path, cls)


def _same_length(names: str, *columns: Sized) -> None:
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise UserError(f"{names} have lengths {lengths}: expected one value for every seed, and at least one seed")


@dataclass(frozen=True)
class RowAccuracy(Record):
    """`accuracy.json` of a row: test accuracy, 0 to 1, of a fresh network for every evaluation seed, at the last step.

    `seed` is the distillation seed. `holdout_accuracy` is on the noisy hold-out, None where the study has none.
    `noisy_test`: the data set has no test images, and `accuracy` itself is on the noisy hold-out.
    """

    row: str
    cell: str
    view: str
    method: str
    ipc: Count
    seed: Index
    recipe: str
    evaluation_seeds: tuple[int, ...]
    accuracy: tuple[Share, ...]
    test_images: Count
    holdout_accuracy: tuple[Share, ...] | None = None
    noisy_test: bool = False

    def __post_init__(self) -> None:
        _same_length("evaluation_seeds and accuracy", self.evaluation_seeds, self.accuracy)
        if self.holdout_accuracy is not None:
            _same_length("evaluation_seeds and holdout_accuracy", self.evaluation_seeds, self.holdout_accuracy)


@dataclass(frozen=True)
class FullAccuracy(Record):
    """`full.json` of a cell: test accuracy, 0 to 1, of training on all noisy images, at the last and at the best epoch.

    `best` is chosen on the test set, so it is shown only in a column that says so. `noisy_test` as of `RowAccuracy`.
    """

    cell: str
    seeds: tuple[int, ...]
    last: tuple[Share, ...]
    best: tuple[Share, ...]
    best_epoch: tuple[Index, ...]
    test_images: Count
    noisy_test: bool = False

    def __post_init__(self) -> None:
        _same_length("seeds, last, best and best_epoch", self.seeds, self.last, self.best, self.best_epoch)


@dataclass(frozen=True)
class Curve(Record):
    """`curve.json` of a distilled row: matching loss and learned rate of every iteration, and how many were skipped."""

    losses: tuple[float, ...]
    rates: tuple[float, ...]
    skipped: Index
    iterations: Index

    def __post_init__(self) -> None:
        if len(self.losses) != len(self.rates):
            raise UserError(f"{len(self.losses)} losses and {len(self.rates)} rates: expected one of each an iteration")
        if self.skipped > self.iterations:
            raise UserError(f"{self.skipped} skipped of {self.iterations} iterations: expected no more than there are")


@dataclass(frozen=True)
class Provenance(Record):
    """Where, when and with what a stage ran; varies between equal runs, so it stands in the page alone."""

    stage: str
    id: str
    commit: str
    device: str
    threads: Count
    versions: dict[str, str]
    seconds: NonNegative
    started: str


@dataclass(frozen=True)
class CellNoise:
    """The noise of a cell: transition matrix float [C, C], rows clean, columns observed, and the realised rate."""

    matrix: Tensor
    class_names: tuple[str, ...]
    realised_rate: float | None = None


@dataclass(frozen=True)
class Pictures:
    """A distilled set before the first and after the last step, in pixels: float [n, channels, height, width], 0 to 1.

    Both lie class after class, `len(class_names)` times the same number of images.
    """

    before: Tensor
    after: Tensor
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for images in (self.before, self.after):
            if images.ndim != 4 or len(images) == 0 or len(images) % len(self.class_names):
                shape, classes = tuple(images.shape), len(self.class_names)
                raise UserError(
                    f"pictures of shape {shape}: expected [n, channels, height, width], n a multiple of {classes}"
                )


@dataclass(frozen=True)
class StudyResults:
    """Everything that the report of one study shows.

    `curves` and `pictures` are by row; `reliability` is by view: a frame with id, static, dynamic, mean, variance,
    in_subset and, where clean labels are known, is_clean, and where they can be told the rankings of `label_quality`
    and observed_class; `noise` is by cell; `settings` is params.yaml, nested.
    """

    name: str
    rows: tuple[RowAccuracy, ...]
    full: tuple[FullAccuracy, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    pictures: Mapping[str, Pictures] = field(default_factory=dict)
    reliability: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    noise: Mapping[str, CellNoise] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: tuple[Provenance, ...] = ()
