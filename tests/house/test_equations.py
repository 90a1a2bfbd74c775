"""Where is equation 7? Every number of the paper has exactly one home: a first docstring line of the core."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "robustdd"
HOMES = {
    1: "distillation.distill.distill",
    2: "distillation.matching.student_step",
    3: "distillation.matching.normalised_distance",
    4: "weighting.weights.dynamic_weight",
    5: "weighting.forgetting.forgetting_score",
    6: "weighting.forgetting.static_weight",
    7: "weighting.weights.blended_weight",
    8: "weighting.weights.blend",
    9: "weighting.reliability.mean_confidence",
    10: "distillation.matching.normalised_distance",
    11: "weighting.reliability.confidence_variance",
    12: "distillation.matching.normalised_distance",
    13: "distillation.matching.combined_loss",
}
MENTION = re.compile(r"Eq\. (\d+)\.(?!\d)")


def first_lines(path: Path) -> list[tuple[str, str]]:
    """Name and first docstring line of the module, its classes and its functions."""
    module = ".".join(path.relative_to(CORE).with_suffix("").parts)
    tree = ast.parse(path.read_bytes())
    found = [(module, tree)]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found += [(f"{module}.{node.name}", node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(name, (ast.get_docstring(node) or "").partition("\n")[0]) for name, node in found]


FILES = sorted(CORE.rglob("*.py"))
LINES = [line for path in FILES for line in first_lines(path)]


@pytest.mark.parametrize("number", range(1, 14))
def test_every_equation_has_one_home(number: int) -> None:
    homes = [name for name, line in LINES for found in MENTION.findall(line) if int(found) == number]
    assert homes == [HOMES[number]]


def test_the_full_stop_after_a_number_stands_at_the_homes_alone() -> None:
    everywhere = [int(number) for path in FILES for number in MENTION.findall(path.read_text(encoding="utf-8"))]
    assert sorted(everywhere) == list(range(1, 14))


def test_equations_are_spelt_one_way() -> None:
    """`git grep "Eq. 7"` must find them all."""
    other = re.compile(r"\b[Ee]quations? \(?\d|\bEqs?\.?\(|\bEq\.\d|\bEq \d|\beq\. \d")
    found = [f"{path.name}: {text}" for path in FILES for text in other.findall(path.read_text(encoding="utf-8"))]
    assert found == []
