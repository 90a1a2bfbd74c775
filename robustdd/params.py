"""The frozen sections of params.yaml: every quantity that a result depends on, with its unit and its bounds.

Plain dataclasses, so that the core runs without pydantic; `study.load` validates files against them with pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal


@dataclass(frozen=True)
class Range:
    """Bounds of a number, told to pydantic when it looks: `low <= x <= high`, the open ends named."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        bounds = {name: bound for name, bound in vars(self).items() if bound is not None}
        return {**handler(source), **bounds}


Count = Annotated[int, Range(ge=1)]
Index = Annotated[int, Range(ge=0)]
Share = Annotated[float, Range(ge=0, le=1)]
PartialShare = Annotated[float, Range(ge=0, lt=1)]
Positive = Annotated[float, Range(gt=0)]
NonNegative = Annotated[float, Range(ge=0)]
Momentum = PartialShare
Strategy = Literal["none", "color_crop_cutout_flip_scale_rotate", "color_crop_cutout_scale_rotate", "crop", "crop_flip"]


class Section:
    """What all sections share: pydantic, when it looks, takes no unknown key, no other type, no inf and no nan."""

    __pydantic_config__: ClassVar[dict[str, bool | str]] = {"strict": True, "extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True)
class Dataset(Section):
    """One image set: where it comes from, its hold-out and its whitening."""

    kind: Literal["digits", "cifar10", "cifar100", "folder"]
    path: str | None = None
    """Folder of the files of cifar10, cifar100 and folder, seen from the study's; None, for cifar alone: the folder of
    the kind's name under that of the environment variable ROBUSTDD_DATA."""
    download: bool = False
    """Fetch the original python files of cifar10 or cifar100 into `path` where they are missing."""
    test_set: bool = True
    """Of kind folder, false: no test images, or none to look at; accuracy is then that on the noisy hold-out."""
    classes: tuple[str, ...] = ()
    """Names of the classes of kind folder, in order; (): those of the class folders or of the labels, sorted."""
    image_size: Count | None = None
    """Side in pixels that images of kind folder get: centred square, bilinear; None: all are of one size already."""
    channels: Literal[1, 3] = 3
    """Grey or colour, of kind folder."""
    test_images: Count = 397
    """Size of the stratified test split of a set that has none of its own (digits)."""
    split_seed: Index = 0
    holdout: PartialShare = 0.0
    """Share of the training images set apart, with their noisy labels, for tuning; 0 where results are shown."""
    train_share: Annotated[float, Range(gt=0, le=1)] | None = None
    """Share of all the training images that is trained on, where a study wants few; None: all outside the hold-out."""
    whitening: Literal["zca", "standard"] = "zca"
    zca_epsilon: NonNegative = 0.1


@dataclass(frozen=True)
class Noise(Section):
    """How the observed labels differ from the clean ones."""

    kind: Literal["none", "symmetric", "asymmetric", "pairflip", "matrix", "human"]
    rate: PartialShare = 0.0
    """Probability of a flip, of the classes that flip, for symmetric, asymmetric and pairflip."""
    matrix: tuple[tuple[Share, ...], ...] = ()
    """Row-stochastic transition matrix [clean][observed] of kind `matrix`."""
    matrix_file: str | None = None
    """The same from a .csv or .npy file, seen from the study's folder."""
    matrix_sha256: str | None = None
    """Pins the bytes of `matrix_file`, so that a change of it is a change of the params."""
    annotation: Literal["aggre", "random1", "random2", "random3", "worse", "noisy"] | None = None
    """Which human labels, of kind `human`: `noisy` is CIFAR-100N's, the others are CIFAR-10N's."""
    file: str | None = None
    """CIFAR-N's file as published; None: cifar-n/ under the folder of ROBUSTDD_DATA."""
    draw: Literal["bernoulli", "exact"] = "bernoulli"
    legacy: Literal["ddlnl"] | None = None
    """`ddlnl`: the very labels of DD_LNL's generator, whatever the seed, the mouse forgotten in CIFAR-100."""
    seed: Index = 0


@dataclass(frozen=True)
class Cell(Section):
    """A dataset under a noise."""

    dataset: str
    noise: Noise


@dataclass(frozen=True)
class View(Section):
    """A cell seen by one set of teachers."""

    cell: str
    weights: Literal["plain", "sgr", "literal", "ssft", "knn", "fixed", "oracle"]
    """plain: all 1 (DATM). sgr: Eq. 7 with the ladder of maxima, brought to mean 1. literal: the same, not normalised.
    ssft: blend 0. knn: blend maximum 1. fixed: `blend_maximum` for all. oracle: 1 for a right label, else 0."""
    weights_from: Literal["labels", "forgetting"]
    """Where the static weights come from: `labels` for plain and oracle, else `forgetting`. No default: dvc.yaml takes
    the dependency from here, and DVC knows no defaults."""
    blend_maximum: Share | None = None


MATCHED = ("datm", "sgr", "ours")
"""Methods that match trajectories; the sets of the others are real images as they are."""


@dataclass(frozen=True)
class Row(Section):
    """One distilled set: a view, a method, its size and its seed."""

    view: str
    method: Literal["random", "selected", "datm", "sgr", "ours"]
    ipc: Count
    recipe: str
    targets: Literal["teachers", "finetune"]
    """Whose snapshots the row reads: `finetune` for `ours`, else `teachers`. No default, as of `weights_from`."""
    seed: Index = 0


@dataclass(frozen=True)
class Network(Section):
    """Size of the ConvNet."""

    width: Count = 128
    depth: Count = 3


@dataclass(frozen=True)
class Engine(Section):
    """How gradients are computed: the same mathematics in other time, other memory and other last digits.

    `engine.settings` settles `auto`, and a chunk of 0, from params and the device alone; a key holds what it settled.
    """

    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile of the steps of students, teachers and clean targets; a machine without a compiler runs them as
    they are written, and says so."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of their convolutions; norms, losses, sums and parameters are float32 in any case."""
    keep: Literal["auto", "on", "off"] = "auto"
    """Keep every student step's activations for the way back, so that memory grows with inner_steps; off: form them
    again."""
    chunk: Index = 0
    """Synthetic images a pass; 0: as many as `robustdd.engine.settings` finds good, most often the whole batch."""


@dataclass(frozen=True)
class Forgetting(Section):
    """Second-split forgetting: two halves, both directions, `epochs` on each."""

    epochs: Count = 30
    batch_size: Count = 256
    learning_rate: Positive = 0.02
    momentum: Momentum = 0.9
    weight_decay: NonNegative = 0.0
    learn_share: Share = 0.5
    """lambda of the paper."""
    definition: Literal["forever", "first"] = "forever"
    seeds: tuple[Index, ...] = (0,)
    network: Network = field(default_factory=Network)


@dataclass(frozen=True)
class Teachers(Section):
    """Training of the P teachers, and with it of their fine-tuned targets."""

    num_teachers: Count = 100
    epochs: Count = 100
    batch_size: Count = 256
    learning_rate: Positive = 0.01
    momentum: Momentum = 0.0
    weight_decay: NonNegative = 0.0
    optimizer: Literal["sgd", "gsam"] = "gsam"
    rho: NonNegative = 0.01
    surrogate_share: NonNegative = 0.3
    """alpha of GSAM."""
    augment: Strategy = "color_crop_cutout_flip_scale_rotate"
    warmup_share: Share = 0.2
    """T_warmup as a share of the epochs."""
    ladder: Literal["paper", "inclusive"] = "paper"
    """Blend maxima (p-1)/P, or (p-1)/(P-1)."""
    seed: Index = 0


@dataclass(frozen=True)
class Neighbours(Section):
    """K nearest neighbours in the penultimate features, by cosine."""

    k: Count = 20
    backend: Literal["faiss", "torch"] = "faiss"


@dataclass(frozen=True)
class Subset(Section):
    """The reliable subset D_sub."""

    rule: Literal["rank", "threshold"] = "rank"
    ratio: Annotated[float, Range(gt=0, le=1)] = 0.6
    min_static_weight: Share = 0.0
    max_variance: NonNegative = 1.0
    tie_seed: Index = 0


@dataclass(frozen=True)
class Finetune(Section):
    """Clean targets: fine-tuning on D_sub from the teacher's snapshots."""

    first_start: Index = 0
    last_start: Index = 0
    """Start epochs first_start..last_start, both included; they must cover every `ours` row."""
    epochs: Count = 2
    """Passes over D_sub; as many as the rows' `teacher_epochs` unless a study asks otherwise."""


@dataclass(frozen=True)
class Recipe(Section):
    """One way of distilling: DATM's schedule and step sizes."""

    initial: Literal["selected", "random"] = "selected"
    iterations: Count = 10000
    inner_steps: Count = 80
    teacher_epochs: Count = 2
    batch_size: Count = 100
    """Synthetic images a student step."""
    initial_rate: Positive = 0.01
    image_step: NonNegative = 100.0
    image_momentum: Momentum = 0.5
    label_step: NonNegative = 2.0
    label_momentum: Momentum = 0.9
    rate_step: NonNegative = 1e-5
    rate_momentum: Momentum = 0.5
    threshold: Positive = 1.0
    """An iteration whose loss is above it updates nothing and is counted."""
    min_start: Index = 0
    first_max_start: Count = 10
    max_start: Count = 20
    """Start epochs are drawn from min_start <= t < U, with U growing from first_max_start to max_start."""
    expansion_iterations: Index = 1000
    """Iterations over which U grows; 0: U is max_start from the start."""
    aux_share: Share = 0.1
    """beta of the paper; used by `ours` alone."""
    backend: Literal["adjoint", "unroll", "tesla"] = "adjoint"
    augment: Strategy = "color_crop_cutout_flip_scale_rotate"
    save_every: Count = 500
    checkpoint_every: Count = 100


@dataclass(frozen=True)
class TrainFull(Section):
    """Training on all noisy images: the row `full`."""

    epochs: Count = 200
    batch_size: Count = 128
    learning_rate: Positive = 0.01
    momentum: Momentum = 0.9
    weight_decay: NonNegative = 5e-4
    decay_epochs: tuple[Index, ...] = (100, 150)
    """The rate is divided by 10 before each of these epochs, counted from 0."""
    augment: Strategy = "color_crop_cutout_flip_scale_rotate"
    seeds: tuple[Index, ...] = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Evaluate(Section):
    """Training of fresh networks on a distilled set, as DATM does."""

    epochs: Count = 1001
    batch_size: Count = 128
    momentum: Momentum = 0.9
    weight_decay: NonNegative = 5e-4
    decay_epoch: Index = 502
    """Before this epoch, counted from 0, the rate is divided by 10 and the momentum cleared."""
    augment: Strategy = "color_crop_cutout_flip_scale_rotate"
    seeds: tuple[Index, ...] = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Grid(Section):
    """Which stages run for which ids: lists, because dvc.yaml's matrix reads lists; `check` holds them to the rows."""

    forgetting: tuple[str, ...] = ()
    """Cells with a view that needs static weights."""
    reliability: tuple[str, ...] = ()
    """Views whose consistency and subset are formed."""
    finetune: tuple[str, ...] = ()
    """Views with an `ours` row."""
    full: tuple[str, ...] = ()
    """Cells with a `full` row."""


@dataclass(frozen=True)
class Study(Section):
    """The whole of a params.yaml."""

    name: str
    root: str
    """Way from the study's folder to the code; dvc.yaml takes its code dependencies from here."""
    device: Literal["cpu", "cuda", "auto"]
    threads: Count
    """Torch threads a task. Part of every key: another number gives other bits."""
    datasets: dict[str, Dataset]
    cells: dict[str, Cell]
    views: dict[str, View]
    rows: dict[str, Row]
    grid: Grid
    network: Network
    engine: Engine
    forgetting: Forgetting
    teachers: Teachers
    neighbours: Neighbours
    subset: Subset
    finetune: Finetune
    recipes: dict[str, Recipe]
    train_full: TrainFull
    evaluate: Evaluate
