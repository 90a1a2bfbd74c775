"""One function for the gradient of the matching loss in the synthetic set, whatever the backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from robustdd.distillation.adjoint import adjoint_gradients, tesla_gradients
from robustdd.distillation.matching import Goal
from robustdd.distillation.student import AutogradStudent, Student, StudentBatch
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.distillation.unroll import unrolled_gradients
from robustdd.engine.compiled_student import FusedStudent
from robustdd.engine.compiling import carried_out
from robustdd.engine.eager_student import ConvNetStudent
from robustdd.engine.settings import PLAIN
from robustdd.errors import UserError
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Network
from robustdd.params import Engine


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of `loss` in the synthetic set, shaped as it is, and the scalar losses that Eq. 13 combines."""

    images: Tensor
    label_logits: Tensor
    learning_rate: Tensor
    loss: Tensor
    match_loss: Tensor
    aux_loss: Tensor | None
    """None where no clean target takes part."""


def trajectory_gradients(
    network: Network,
    synthetic: SyntheticSet,
    batches: Sequence[StudentBatch],
    start: Tensor,
    target: Tensor,
    clean_target: Tensor | None = None,
    aux_share: float = 0.0,
    backend: str = "adjoint",
    engine: Engine = PLAIN,
) -> Gradients:
    """Differentiate, in the synthetic set, how far a student that trains on it ends from the targets.

    The student leaves `start` and makes a step a batch; `start` and both targets are parameters [P]. Everything is of
    one floating type, on one device. Backends: `adjoint` (exact, constant memory), `unroll` (exact, the whole graph),
    `tesla` (an approximation, to reproduce others). `engine`, settled, says how the sweeps of a ConvNet are computed;
    other networks have autograd's, in one way, and `unroll` too. Raises Diverged when a target is equal to the start,
    UserError for an unknown backend, or for bfloat16 where there is none.
    """
    goal = Goal(start, target, clean_target, aux_share)
    student = student_of(network, carried_out(engine, start.device.type))
    if backend == "adjoint":
        gradients, losses = adjoint_gradients(student, synthetic, batches, goal)
    elif backend == "tesla":
        gradients, losses = tesla_gradients(student, synthetic, batches, goal)
    elif backend == "unroll":
        gradients, losses = unrolled_gradients(network, synthetic, batches, goal)
    else:
        raise UserError(f"backend {backend!r} is not known: expected adjoint, unroll or tesla")
    return Gradients(**gradients.tensors(), loss=losses.total, match_loss=losses.match, aux_loss=losses.aux)


def student_of(network: Network, engine: Engine = PLAIN) -> Student:
    """By hand where the network is known: that is the faster one at every size that was measured."""
    if not isinstance(network, ConvNet):
        if engine.precision != "float32":
            raise UserError("engine.precision: bfloat16 is written for the ConvNet alone; set float32")
        return AutogradStudent(network)
    if replace(engine, chunk=0) == PLAIN:
        return ConvNetStudent(network, engine.chunk)
    return FusedStudent(network, engine)
