"""The teachers: networks trained on the noisy labels under reliability weights, and the way that each of them took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robustdd.data.lazy_images import Images
from robustdd.engine.settings import PLAIN
from robustdd.engine.train_step import differentiate_by
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained, require_finite, train_epoch
from robustdd.params import Engine, Neighbours, Teachers
from robustdd.progress import Listener, Progress, silence
from robustdd.rng import generator
from robustdd.weighting.consistency import consistency
from robustdd.weighting.weights import blend, blended_weight, mean_one

if TYPE_CHECKING:
    from robustdd.store.checkpoints import Checkpoints


_SNAPSHOT = "snapshot-"


@dataclass(frozen=True, eq=False)
class Teacher:
    """Parameters before the first and after every epoch, `snapshots` float32 [epochs + 1, P], on the CPU.

    `losses` and `blends`: mean training loss and share of the dynamic weight in every epoch. `last_dynamic` [n]: the
    dynamic weights that the last epoch was trained with, on the CPU; None where its blend was 0.
    """

    snapshots: Tensor
    losses: tuple[float, ...]
    blends: tuple[float, ...]
    last_dynamic: Tensor | None


def train_teacher(
    network: ConvNet,
    images: Images,
    observed: Tensor,
    static: Tensor,
    blend_maximum: float,
    normalise: bool,
    params: Teachers,
    neighbours: Neighbours,
    index: int,
    checkpoints: Checkpoints | None = None,
    progress: Listener = silence,
    engine: Engine = PLAIN,
) -> Teacher:
    """Train teacher number `index` (from 0) on images [n, ...] with observed labels int64 [n] and static weights [n].

    Runs on the device of `images`. At the start of every epoch whose blend is positive the dynamic weights are formed
    anew under the parameters of that moment, in float32 whatever `engine`, settled, makes of the steps; `normalise`
    brings the blended weights to mean 1. Static weights of 1 with maximum 0 are DATM's teachers, bit for bit. The bits
    are the same in one go and resumed from `checkpoints`. Raises Diverged when the loss or a parameter is not finite.

    Reading: the remark of Sec. 4.2 lets the weights act on the teacher "or" on the outer loop, where there are no real
    samples; they act on the teacher alone. How often they are refreshed is not said; every epoch. Their scale is not
    said; mean 1 keeps the learning rate what it is without them. The warm-up is a share of all epochs.
    """
    optimizer = Optimizer.of_teachers(params)
    teacher, state = _begin(network, images, params, index, checkpoints)
    for epoch in range(len(teacher.losses), params.epochs):
        share = blend(epoch, params.warmup_share * params.epochs, blend_maximum)
        dynamic = consistency(network, state.parameters, images, observed, neighbours) if share > 0 else None
        weights = _weights(static.to(images.device), dynamic, share, normalise).to(images.device, images.dtype)
        order = generator("teacher", params.seed, index, "epoch", epoch)
        batches = (params.batch_size, params.augment, order, differentiate_by(engine))
        state, loss = train_epoch(network, state, images, observed, weights, optimizer, *batches)
        require_finite(state, loss, f"teacher {index}, epoch {epoch}")
        teacher = Teacher(
            torch.cat((teacher.snapshots, state.parameters.cpu()[None])),
            (*teacher.losses, loss),
            (*teacher.blends, share),
            None if dynamic is None else dynamic.cpu(),
        )
        if checkpoints is not None:
            checkpoints.save(epoch + 1, _pack(teacher, state), {}, _snapshots(teacher))
        figures, shown = {"loss": loss, "blend": share}, {"parameters": state.parameters}
        progress(Progress(epoch + 1, params.epochs, figures, shown))
    return teacher


def _weights(static: Tensor, dynamic: Tensor | None, share: float, normalise: bool) -> Tensor:
    weights = static if dynamic is None else blended_weight(static, dynamic.to(static), share)
    return mean_one(weights) if normalise else weights


def _begin(
    network: ConvNet, images: Images, params: Teachers, index: int, checkpoints: Checkpoints | None
) -> tuple[Teacher, Trained]:
    """The teacher as far as it has been trained, and the state to go on from."""
    found = None if checkpoints is None else checkpoints.latest()
    if found is None:
        initial = network.initial(generator("teacher", params.seed, index, "init"))
        return Teacher(initial[None], (), (), None), Trained.fresh(initial.to(images.device))
    tensors = found.tensors
    snapshots = torch.stack([tensors[name] for name in sorted(tensors) if name.startswith(_SNAPSHOT)])
    losses, blends = (tuple(tensors[name].tolist()) for name in ("losses", "blends"))
    state = Trained(snapshots[-1].to(images.device), tensors["velocity"].to(images.device))
    return Teacher(snapshots, losses, blends, tensors.get("last_dynamic")), state


def _snapshots(teacher: Teacher) -> dict[str, Tensor]:
    return {f"{_SNAPSHOT}{epoch:06d}": parameters for epoch, parameters in enumerate(teacher.snapshots)}


def _pack(teacher: Teacher, state: Trained) -> dict[str, Tensor]:
    tensors = {
        "velocity": state.velocity.cpu(),
        "losses": torch.tensor(teacher.losses, dtype=torch.float64),
        "blends": torch.tensor(teacher.blends, dtype=torch.float64),
    }
    return tensors if teacher.last_dynamic is None else {**tensors, "last_dynamic": teacher.last_dynamic}
