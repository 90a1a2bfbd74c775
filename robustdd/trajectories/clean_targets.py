"""Teacher-Inspired Auxiliary Targets: where a teacher would have gone, had it seen reliable samples alone."""

from __future__ import annotations

from torch import Tensor

from robustdd.data.lazy_images import Images
from robustdd.engine.settings import PLAIN
from robustdd.engine.train_step import differentiate_by
from robustdd.networks.training import Network, Optimizer, Trained, require_finite, train_epoch
from robustdd.params import Engine, Teachers
from robustdd.rng import generator


def clean_target(
    network: Network,
    start: Tensor,
    images_sub: Images,
    observed_sub: Tensor,
    params: Teachers,
    epochs: int,
    teacher: int,
    start_epoch: int,
    engine: Engine = PLAIN,
) -> Tensor:
    """Parameters [P] after `epochs` passes over the reliable subset from `start` [P], a snapshot of a teacher.

    Runs on the device of `images_sub` [m, ...] and answers there; `observed_sub` int64 [m]. Augmentation as in the
    teacher's training, no sample weights. The random stream is named after the teacher and the snapshot's epoch, so
    that any target can be formed alone. Raises UserError for an empty subset, Diverged when a number is not
    finite.

    Reading: Sec. 4.3 says "fine-tune" and no more; the optimiser is the teacher's own, with fresh velocity.
    """
    optimizer = Optimizer.of_teachers(params)
    state = Trained.fresh(start.to(images_sub.device, copy=True))
    for epoch in range(epochs):
        order = generator("finetune", params.seed, teacher, start_epoch, epoch)
        batches = (params.batch_size, params.augment, order, differentiate_by(engine))
        state, loss = train_epoch(network, state, images_sub, observed_sub, None, optimizer, *batches)
        require_finite(state, loss, f"clean target of teacher {teacher} from epoch {start_epoch}, pass {epoch}")
    return state.parameters
