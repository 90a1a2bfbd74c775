"""Second-split forgetting: when a sample is learnt, and how soon it is forgotten once training moves on.

Source: Maini et al., "Characterizing Datapoints via Second-Split Forgetting", NeurIPS 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustdd.data.lazy_images import Images, part
from robustdd.errors import UserError
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained, predict, train_epoch
from robustdd.params import Forgetting
from robustdd.progress import Listener, Progress, silence
from robustdd.rng import generator


@dataclass(frozen=True, eq=False)
class SplitRecord:
    """What one direction of second-split forgetting saw of the half it watched.

    rows: int64 [m], positions in the data set. learned, forgotten: epochs int64 [m], from 1, sentinels as in
    `learn_epochs` and `forget_epochs`. first_accuracy, second_accuracy: accuracy on the observed labels of `rows` after
    every epoch on the first and on the second half. remembered: bool [m], right after the last epoch on the first half;
    where hardly any wrong label is, none can be forgotten and the score cannot separate.
    """

    rows: Tensor
    learned: Tensor
    forgotten: Tensor
    first_accuracy: tuple[float, ...]
    second_accuracy: tuple[float, ...]
    remembered: Tensor


def separation_warning(distinct: int, remembered_right: float | None, remembered_wrong: float | None) -> str | None:
    """One line where static weights of `distinct` values cannot tell a wrong label from a right one; else None.

    `remembered_*`: share of the right and of the wrong labels that were predicted after the first half, None where the
    clean labels are unknown. What was never learnt cannot be forgotten: if few wrong labels were, the score tells hard
    samples from easy ones, whether their labels are right or wrong.
    """
    if distinct < 3:
        return f"the static weights have {distinct} distinct value(s) and rank nothing; raise forgetting.epochs"
    if remembered_right and remembered_wrong is not None and remembered_wrong < remembered_right / 2:
        return (
            f"only {remembered_wrong:.0%} of the wrong labels were learnt on the first half, of the right ones "
            f"{remembered_right:.0%}: the static weights tell hard from easy more than wrong from right; raise "
            "forgetting.epochs or the width of forgetting.network to learn more of them"
        )
    return None


def halves(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two random halves of 0..count-1, each sorted, int64; the second has the odd one; raises UserError below 2."""
    if count < 2:
        raise UserError(f"forgetting: expected at least 2 images to halve, got {count}")
    order = torch.randperm(count, generator=generator("forgetting", seed, "halves"))
    return order[: count // 2].sort().values, order[count // 2 :].sort().values


def second_split(
    network: ConvNet,
    images: Images,
    observed: Tensor,
    first: Tensor,
    second: Tensor,
    params: Forgetting,
    seed: int,
    progress: Listener = silence,
) -> SplitRecord:
    """Train on the rows `first`, then with the same parameters on the rows `second`, and watch the rows `first`.

    `images` float [n, channels, height, width], whitened; `observed` int64 [n]. Plain SGD without augmentation, because
    the wrong labels have to be memorised before they can be forgotten; the velocity starts anew on the second half.

    Both directions of a seed begin with the same parameters and draw the same orders.

    Reading: the paper names no network, rate or schedule for this stage; here one ConvNet at a constant rate, while
    Maini et al. train a ResNet with a triangular one.
    """
    state = Trained.fresh(network.initial(generator("forgetting", seed, "initial")).to(images.device))
    optimizer = Optimizer("sgd", params.learning_rate, params.momentum, params.weight_decay)
    watched, labels = part(images, first), observed[first]
    histories: list[Tensor] = []
    for stage, rows in enumerate((first, second)):
        state, seen, given = Trained.fresh(state.parameters), part(images, rows), observed[rows]
        correct = []
        for epoch in range(params.epochs):
            order = generator("forgetting", seed, "batches", stage, epoch)
            state, loss = train_epoch(network, state, seen, given, None, optimizer, params.batch_size, "none", order)
            correct.append((predict(network, state.parameters, watched).argmax(1) == labels).cpu())
            figures = {"loss": loss, "accuracy": float(correct[-1].double().mean())}
            progress(Progress(stage * params.epochs + epoch + 1, 2 * params.epochs, figures))
        histories.append(torch.stack(correct))
    learning, forgetting = histories
    return SplitRecord(
        first.cpu(),
        learn_epochs(learning, params.definition),
        forget_epochs(forgetting, params.definition),
        _accuracies(learning),
        _accuracies(forgetting),
        learning[-1],
    )


def learn_epochs(correct: Tensor, definition: str) -> Tensor:
    """Epoch, from 1, at which each sample is learnt on the first half: int64 [m] of `correct` bool [epochs, m].

    `forever`: earliest epoch from which on it is always right. `first`: earliest epoch at which it is right. Never: one
    more than the number of epochs. Raises UserError for another definition.

    Reading: Sec. 4.2 writes "first correctly classified" and cites Maini et al., who take `forever`; by chance alone a
    tenth of ten-class samples is right in any epoch, so `forever` is the default.
    """
    return _earliest(correct, definition)


def forget_epochs(correct: Tensor, definition: str) -> Tensor:
    """Epoch, from 1, at which each sample is forgotten on the second half: int64 [m] of `correct` bool [epochs, m].

    `forever`: earliest epoch from which on it is always wrong. `first`: earliest epoch at which it is wrong. Never: one
    more than the number of epochs. Raises UserError for another definition.

    Reading: "misclassified again" in Sec. 4.2 may mean either; see `learn_epochs`.
    """
    return _earliest(~correct, definition)


def forgetting_score(learned: Tensor, forgotten: Tensor, learn_share: float) -> Tensor:
    """Difficulty of every sample, float64 [n] in [0, 1]: learnt late and forgotten early is 1, Eq. 5.

    `learned`, `forgotten` [n]: epochs, or means of them over seeds, of the whole data set, both directions together,
    for the maxima run over all of it. `learn_share` is lambda of the paper. Raises UserError when a maximum is not
    positive.

    Reading: the maxima include the sentinels, so that what is never forgotten has exactly no share of forgetting.
    """
    return learn_share * _share_of_latest(learned, "learned") + (1 - learn_share) * (
        1 - _share_of_latest(forgotten, "forgotten")
    )


def static_weight(score: Tensor) -> Tensor:
    """Static reliability [n] of samples with forgetting scores [n]: 1 minus the score, Eq. 6."""
    return 1 - score


def _earliest(events: Tensor, definition: str) -> Tensor:
    """Earliest epoch, from 1, at which the event happens, or from which on it always does; epochs + 1 for never."""
    if definition == "forever":
        unbroken = events.flip(0).long().cumprod(0)
        return len(events) + 1 - unbroken.sum(0)
    if definition == "first":
        still_waiting = (~events).long().cumprod(0)
        return 1 + still_waiting.sum(0)
    raise UserError(f"forgetting definition: expected forever or first, got {definition!r}")


def _share_of_latest(epochs: Tensor, name: str) -> Tensor:
    latest = epochs.double().max() if len(epochs) else torch.zeros(())
    if not bool(latest > 0):
        raise UserError(f"forgetting: expected {name} epochs counted from 1, got {float(latest)} as the latest")
    return epochs.double() / latest


def _accuracies(correct: Tensor) -> tuple[float, ...]:
    return tuple(correct.double().mean(1).tolist())
