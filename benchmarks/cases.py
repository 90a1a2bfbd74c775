"""One measurement, in a process of its own: `python -m benchmarks.cases JSON` prints what it found as JSON."""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.problem import Problem, images, problem
from benchmarks.timing import interleaved, matmul_peak, peak_bytes
from robustdd.distillation.gradients import trajectory_gradients
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.engine.compiling import can_compile
from robustdd.engine.conv import arithmetic_of
from robustdd.engine.settings import PLAIN
from robustdd.engine.train_step import differentiate_by
from robustdd.errors import UserError
from robustdd.exactness import compute_exactly
from robustdd.networks.convnet import ConvNet
from robustdd.networks.training import Optimizer, Trained, train_epoch
from robustdd.params import Engine
from robustdd.rng import generator
from robustdd.weighting.neighbours import nearest_neighbours

ENGINES = {
    "adjoint": PLAIN,
    "compiled": Engine("on", "float32", "off", 0),
    "compiled, kept": Engine("on", "float32", "on", 0),
    "compiled, parts of 25": Engine("on", "float32", "off", 25),
    "bfloat16": Engine("on", "bfloat16", "off", 0),
    "bfloat16, kept": Engine("on", "bfloat16", "on", 0),
}
Case = dict[str, Any]


def gradient_of(variant: str, given: Problem) -> Callable[[], SyntheticSet]:
    """The gradient of a problem as a variant computes it: `unroll` and `tesla` are the plain peers."""
    if variant in ("unroll", "tesla"):
        network = peers.PlainConvNet(3, 32, 10, given.network.width, given.network.depth)
        network = network.to(given.goal.start)
        peer = getattr(peers, {"unroll": "unrolled"}.get(variant, variant))
        return _as_published(functools.partial(peer, network, given.synthetic, given.batches, given.goal))

    def work() -> SyntheticSet:
        goal = (given.goal.start, given.goal.target)
        engine = ENGINES[variant]
        found = trajectory_gradients(given.network, given.synthetic, given.batches, *goal, engine=engine)
        return SyntheticSet(found.images, found.label_logits, found.learning_rate)

    return work


def _as_published(work: Callable[[], Any]) -> Callable[[], Any]:
    """A peer without the deterministic operations that the engine is held to; on a CPU they are the same."""

    def call() -> Any:
        mode = torch.get_deterministic_debug_mode()
        torch.set_deterministic_debug_mode("default")
        try:
            return work()
        finally:
            torch.set_deterministic_debug_mode(mode)

    return call


def working(variants: Mapping[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """What every variant gives, and why those that fail do: one that does costs the others nothing."""
    found, failed = {}, {}
    for name, work in variants.items():
        try:
            found[name] = work()
        except Exception as reason:  # whatever a compiler or a device throws
            failed[name] = f"{type(reason).__name__}: {reason}".splitlines()[0][:200]
    return found, failed


def least_flops(network: ConvNet, batch: int, steps: int) -> float:
    """Operations that any exact gradient needs of plain convolutions: nine passes over them, six over the first one."""
    total, channels, side = 0.0, 3, 32
    for index in range(network.depth):
        total += (9 if index else 6) * 18 * channels * network.width * side * side * batch * steps
        channels, side = network.width, side // 2
    return total


def gradient(case: Case) -> Case:
    """Time of one gradient of the synthetic set, every variant beside the unrolled graph."""
    given = problem(case["width"], case["batch"], case["steps"], case["device"])
    variants = {name: gradient_of(name, given) for name in case["variants"]}
    values, failed = working(variants)
    exact = values.get("unroll")  # TESLA's gradient is another one
    errors = {name: _error(value.images, exact.images) for name, value in values.items()} if exact else {}
    found = interleaved({name: variants[name] for name in values}, case["rounds"], case["device"])
    peak = matmul_peak(case["device"], torch.float32)
    work = 1e-9 * least_flops(given.network, case["batch"], case["steps"])
    for name, one in found.items():
        one |= {"error": errors[name]} if name in errors else {}
        one |= {"share_of_peak": work / one["seconds"] / peak}
    return {"variants": found, "left_out": failed, "peak_gflops": peak, "arithmetic": _arithmetic(case)}


def memory(case: Case) -> Case:
    """Peak of memory of one gradient above what the process held."""
    short = problem(case["width"], case["batch"], 1, case["device"])
    gradient_of(case["variant"], short)()  # what is loaded or compiled once
    given = problem(case["width"], case["batch"], case["steps"], case["device"])
    points = (case["steps"] + 1) * given.goal.start.nbytes
    return {"bytes": peak_bytes(gradient_of(case["variant"], given), case["device"]), "points": points}


def quality(case: Case) -> Case:
    """Cosine and relative error of every variant's gradients to the exact ones in float64."""
    given = problem(case["width"], case["batch"], case["steps"], case["device"], rate=case["rate"])
    exact = gradient_of("adjoint", given.to(torch.float64))()
    values, failed = working({name: gradient_of(name, given) for name in case["variants"]})
    found = {
        name: {
            part: {"cosine": _cosine(value.tensors()[part], one), "error": _error(value.tensors()[part], one)}
            for part, one in exact.tensors().items()
        }
        for name, value in values.items()
    }
    return {"variants": found, "left_out": failed, "real": images()[2], "arithmetic": _arithmetic(case)}


def training_of(case: Case) -> dict[str, Callable[[], object]]:
    """The same batches as the usual loop trains on them, and every engine."""
    pixels, labels, _ = images()
    pixels, labels = pixels.to(case["device"]), labels.to(case["device"])
    network, size, steps = ConvNet(3, (32, 32), 10, case["width"], 3), case["batch"], case["steps"]
    start = network.initial(generator("bench")).to(case["device"])
    plain = peers.PlainConvNet(3, 32, 10, case["width"], 3)
    plain.load(start.cpu())
    loop = peers.LoaderLoop(plain, pixels, labels, size, 0.01)

    def train(engine: Engine) -> Tensor:
        shown = slice(0, size * steps)
        how = (Optimizer("sgd", 0.01), size, peers.DSA, generator("bench epoch"), differentiate_by(engine))
        return train_epoch(network, Trained.fresh(start), pixels[shown], labels[shown], None, *how)[0].parameters

    variants: dict[str, Callable[[], object]] = {"loop": _as_published(functools.partial(loop.steps, steps))}
    return variants | {name: functools.partial(train, ENGINES[name]) for name in case["variants"]}


def teachers(case: Case) -> Case:
    """Images a second of training, every engine beside the usual loop."""
    variants = training_of(case)
    values, failed = working(variants)
    found = interleaved({name: variants[name] for name in values}, case["rounds"], case["device"])
    for one in found.values():
        one["images_a_second"] = case["batch"] * case["steps"] / one["seconds"]
    return {"variants": found, "left_out": failed, "arithmetic": _arithmetic(case)}


def neighbours(case: Case) -> Case:
    """Exact nearest neighbours of all rows among each other, beside scikit-learn's brute force."""
    stream = generator("bench features")
    rows = torch.randn(case["rows"], case["size"], generator=stream).relu().to(case["device"])
    rows /= rows.norm(dim=1, keepdim=True)
    variants: dict[str, Callable[[], object]] = {}
    try:
        if case["device"] != "cpu":
            raise ImportError("scikit-learn computes on a CPU")
        from sklearn.neighbors import NearestNeighbors

        peer = NearestNeighbors(n_neighbors=case["k"], algorithm="brute").fit(rows.cpu().numpy())
        variants["scikit-learn"] = lambda: peer.kneighbors(return_distance=False)
    except ImportError:
        pass
    variants["torch"] = lambda: nearest_neighbours(rows, case["k"], "torch")
    try:
        nearest_neighbours(rows[:2], 1, "faiss")
        variants["faiss"] = lambda: nearest_neighbours(rows, case["k"], "faiss")
    except UserError:
        pass
    return {"variants": interleaved(variants, case["rounds"], case["device"], case["rounds"] > 1)}


def first(case: Case) -> Case:
    """Seconds of the first gradient of a process above those of the second: what compiling, or loading it, costs."""
    given = problem(case["width"], case["batch"], 1, case["device"])
    work = gradient_of(case["variant"], given)
    begun = time.perf_counter()
    work()
    between = time.perf_counter()
    work()
    return {"seconds": 2 * between - begun - time.perf_counter()}


def determinism(case: Case) -> Case:
    """Whether two calls give the same bits, under the augmentation too."""
    given = problem(case["width"], case["batch"], case["steps"], case["device"], augment=peers.DSA)

    def repeats(name: str) -> bool:
        one, other = (gradient_of(name, given)() for _ in range(2))
        return all(torch.equal(*pair) for pair in zip(one.tensors().values(), other.tensors().values(), strict=True))

    found, failed = working({name: functools.partial(repeats, name) for name in case["variants"]})
    return {"variants": found, "left_out": failed}


def _error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact.double()).norm() / exact.double().norm())


def _cosine(found: Tensor, exact: Tensor) -> float:
    return float(torch.cosine_similarity(found.double().flatten(), exact.double().flatten(), 0))


def _arithmetic(case: Case) -> str:
    return arithmetic_of("bfloat16", torch.device(case["device"]))


PARTS = {one.__name__: one for one in (gradient, memory, quality, teachers, neighbours, first, determinism)}
PARTS["sweeps"] = gradient


def main(text: str) -> None:
    """Measure one case as the stages compute, but with its threads, and with TF32 as it says."""
    case = json.loads(text)
    logging.basicConfig(level=logging.WARNING)
    compute_exactly(case["threads"])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.get("tf32", False)
    print(json.dumps({**PARTS[case["part"]](case), "compiler": can_compile(case["device"])}))


if __name__ == "__main__":
    main(sys.argv[1])
