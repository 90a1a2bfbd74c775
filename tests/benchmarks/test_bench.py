"""The benchmark of the engine: its peers are right, what it keeps is not measured again, its table tells it all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import cases, engine, peers
from benchmarks import problem as problems
from benchmarks.engine_table import as_markdown
from benchmarks.timing import interleaved
from robustdd.distillation.matching import Goal
from robustdd.networks.convnet import ConvNet
from tests.distillation.test_gradients import Case, error
from tests.support.pipeline import CODE


def test_the_plain_peers_are_the_gradients_that_they_stand_for() -> None:
    case = Case(3)
    network = peers.PlainConvNet(2, 8, 3, 4, 2).double()
    goal = Goal(case.start, case.target)
    for peer, backend in ((peers.unrolled, "unroll"), (peers.tesla, "tesla")):
        expected = case.gradients(backend, share=0.0)
        found = peer(network, case.synthetic, case.batches, goal)
        pairs = [(found.images, expected.images), (found.label_logits, expected.label_logits)]
        pairs.append((found.learning_rate, expected.learning_rate))
        assert max(error([one], [other]) for one, other in pairs) < 1e-10


def test_the_plain_network_is_the_convnet() -> None:
    network, plain = ConvNet(3, (32, 32), 10, 4, 3), peers.PlainConvNet(3, 32, 10, 4, 3)
    flat, images = network.initial(torch.Generator().manual_seed(0)), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(plain.at(flat, images), network(flat, images))
    plain.load(flat)
    torch.testing.assert_close(plain(images), network(flat, images))


def test_the_loop_trains_what_it_is_given() -> None:
    plain = peers.PlainConvNet(1, 8, 3, 4, 2)
    before = [value.clone() for value in plain.parameters()]
    peers.LoaderLoop(plain, torch.randn(10, 1, 8, 8), torch.randint(3, (10,)), 4, 0.1).steps(5)
    assert any(not torch.equal(*pair) for pair in zip(before, plain.parameters(), strict=True))


def test_ratios_are_taken_within_a_round() -> None:
    found = interleaved({"one": lambda: None, "two": lambda: None}, 3, "cpu")
    assert found["one"]["ratio"] == 1 and found["two"]["seconds"] >= 0


def test_a_peak_is_that_of_the_work() -> None:
    code = """
import torch
from benchmarks.timing import peak_bytes
print(peak_bytes(lambda: torch.ones(5_000_000), "cpu"))
"""
    root = Path(__file__).resolve().parents[2]
    command = (
        sys.executable,
        "-c",
        code,
    )  # a process of its own: memory that one keeps is no peak when it is used again
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout
    assert 15_000_000 < int(told) < 40_000_000


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The benchmark with nothing behind it: the cases that it measures."""
    measured: list[dict[str, Any]] = []

    def measure(case: dict[str, Any], compiled: Path) -> dict[str, Any]:
        measured.append(case)
        return {"failed": "not measured"} if case["part"] == "memory" else {"variants": {}}

    monkeypatch.setattr(engine, "measure", measure)
    monkeypatch.setattr(engine, "teacher", lambda width: None)
    return measured


def test_a_run_that_was_cut_off_goes_on(bench: list[dict[str, Any]], tmp_path: Path) -> None:
    arguments = ["--quick", "--device", "cpu", "--out", str(tmp_path)]
    assert engine.main([*arguments, "--minutes", "-1"]) == 3 and not bench
    assert engine.main(arguments) == 0
    asked = len(list(engine.cases("cpu", quick=True)))
    assert len(bench) == asked
    assert engine.main(arguments) == 0 and len(bench) == asked
    (path,) = tmp_path.glob("bench-quick-*.json")
    record = json.loads(path.read_bytes())
    record["identity"]["code"] = "another"
    path.write_text(json.dumps(record))
    assert engine.main(arguments) == 0 and len(bench) == 2 * asked


def test_every_case_has_its_place_in_the_table(tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        for case in engine.cases(device, quick=False):
            assert case["part"] in cases.PARTS
            assert set(case.get("variants", [])) <= {"unroll", "tesla", *cases.ENGINES}
            record = {"identity": {"device": "d", "torch": "t", "code": "c"}, "commit": "c", "cores": 2}
            told = as_markdown({**record, "cases": {json.dumps(case): {"failed": "out of memory"}}})
            assert "out of memory" in told


def test_the_table_begins_with_what_the_others_are_compared_with() -> None:
    """Also of a record that was read again: JSON has its keys by the alphabet."""
    one = {"ratio": 1.0, "seconds": 1.0}
    found = {part: dict.fromkeys(sorted(names), one) for part, names in COLUMNS.items()}
    lines = {json.dumps({"part": part}): {"variants": variants} for part, variants in found.items()}
    record = {"identity": {"device": "d", "torch": "t", "code": "c"}, "commit": "c", "cores": 2, "cases": lines}
    told = as_markdown(json.loads(json.dumps(record, sort_keys=True)))
    for names in COLUMNS.values():
        assert f"| | {' | '.join(names)} |" in told
    widths = [json.dumps({"part": "memory", "variant": "adjoint", "width": width}) for width in (32, 128, 64)]
    told = as_markdown({**record, "cases": {key: {"bytes": 1, "points": 1} for key in widths}})
    assert told.index("width 128") < told.index("width 64") < told.index("width 32")


COLUMNS = {
    "gradient": ["unroll", "tesla", "adjoint", "compiled", "compiled, kept", "bfloat16", "bfloat16, kept"],
    "teachers": ["loop", "adjoint", "compiled", "bfloat16"],
    "neighbours": ["scikit-learn", "torch", "faiss"],
}


def test_a_case_runs_on_the_core_alone(tmp_path: Path) -> None:
    """In a process that cannot import what only the pipeline needs."""
    blocked = ["prefect", "dvc", "pydantic", "faiss", "sklearn", "pandas", "ruamel", "torchvision", "scipy"]
    case = {"part": "quality", "width": 4, "batch": 4, "steps": 2, "rate": 0.01, "threads": 1, "device": "cpu"}
    case |= {"variants": ["unroll", "tesla", "adjoint"]}
    text = f"import sys\nfor name in {blocked}: sys.modules[name] = None\n"
    text += f"from benchmarks import cases\ncases.main({json.dumps(json.dumps(case))})"
    environment = {"PATH": "/usr/bin:/bin", "ROBUSTDD_BENCH": str(tmp_path), "PYTHONPATH": str(CODE)}
    done = subprocess.run(
        (sys.executable, "-c", text), cwd=CODE, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["real"]
    assert found["variants"]["adjoint"]["images"]["cosine"] > 0.9999
    assert found["variants"]["tesla"]["images"]["cosine"] < found["variants"]["adjoint"]["images"]["cosine"]


def test_drawn_images_stand_in_where_there_is_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "CACHE", tmp_path)
    monkeypatch.delenv("ROBUSTDD_DATA", raising=False)
    problems.images.cache_clear()
    pixels, labels, real = problems.images()
    problems.images.cache_clear()
    assert pixels.shape == (problems.IMAGES, 3, 32, 32) and len(labels) == problems.IMAGES and not real
