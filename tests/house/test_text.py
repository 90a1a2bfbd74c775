"""What must not stand in any file of the project."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pipeline import CODE

PACKAGES = ("robustdd", "tasks", "flows")
# Joined here, so that this file does not hold what it looks for.
OUTSIDE = re.compile("/" + r"work\b|\.\./" + "shared")
UNFINISHED = re.compile(r"\b(TO" + "DO|FIX" + r"ME)\b")


def project_files() -> list[Path]:
    """Every file that git tracks but artifacts, or all but the unmistakable rest where there is no git."""
    done = subprocess.run(["git", "-C", str(CODE), "ls-files", "-z"], capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        ours = [name for name in done.stdout.split("\0") if name and not name.startswith(".dvc/released/")]
        return [CODE / name for name in ours if (CODE / name).is_file()]
    return [path for package in (*PACKAGES, "tests") for path in (CODE / package).rglob("*.py")]


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of every file that is text."""
    for path in project_files():
        data = path.read_bytes()
        if b"\0" not in data:
            yield str(path.relative_to(CODE)), data.decode()


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((CODE / package).rglob("*.py")):
            yield str(path.relative_to(CODE)), ast.parse(path.read_bytes())


def lines_with(words: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if words.search(line)
    ]


def test_no_file_names_a_folder_outside() -> None:
    assert lines_with(OUTSIDE) == []


def test_nothing_is_left_for_later() -> None:
    assert lines_with(UNFINISHED) == []


def test_files_are_utf8_with_unix_line_ends_and_one_newline_at_the_end() -> None:
    bad = [
        name for name, text in texts() if "\r" in text or (text and not text.endswith("\n")) or text.endswith("\n\n")
    ]
    assert bad == []


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_the_core_prints_nothing() -> None:
    found = [
        name
        for name, tree in sources()
        if name.startswith("robustdd/") and not name.startswith("robustdd/cli/")
        for called_name, _ in called(tree)
        if called_name in ("print", "sys.stdout.write", "sys.stderr.write")
    ]
    assert found == []


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "yaml.load",
    "yaml.unsafe_load",
    "os.system",
    "os.popen",
    "__import__",
    "torch.load",
}
IMPORTERS = {
    "robustdd/noise/human.py": {"torch.load"},
    "robustdd/data/unpickling.py": {"pickle"},
}
"""The importers of published files, each with what it may use after it has checked a pinned digest."""


def dangers(tree: ast.AST) -> Iterator[str]:
    """What could run foreign code: modules that unpickle, evaluation of text, a shell."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES)
        if isinstance(node, ast.ImportFrom):
            names = (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))
            yield from (name for name in names if name.split(".")[0] in FORBIDDEN_MODULES or name == "torch.load")
    for name, call in called(tree):
        if name in FORBIDDEN_CALLS:
            yield name
        for keyword in call.keywords:
            if keyword.arg in ("shell", "allow_pickle") and not _is(keyword.value, False):
                yield f"{keyword.arg}={ast.unparse(keyword.value)}"
            if keyword.arg == "weights_only" and not _is(keyword.value, True):
                yield f"weights_only={ast.unparse(keyword.value)}"


def _is(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_nothing_runs_foreign_code_but_the_importers_of_published_files() -> None:
    found = {name: set(dangers(tree)) for name, tree in sources()}
    assert {
        name: what - IMPORTERS.get(name, set()) for name, what in found.items() if what - IMPORTERS.get(name, set())
    } == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "f(weights_only=False)",
        "f(weights_only=flag)",
        "np.load(x, allow_pickle=True)",
        "subprocess.run('x', shell=True)",
        "eval('1')",
        "exec('1')",
        "import yaml",
        "yaml.load(x)",
        "os.system('x')",
        "def f():\n    from joblib import load",
    ],
)
def test_the_list_of_dangers_finds_each(text: str) -> None:
    assert list(dangers(ast.parse(text)))


def test_what_is_safe_is_not_told_as_a_danger() -> None:
    text = "import json\nnetwork.eval()\nre.compile('x')\nnp.load(x, allow_pickle=False)\nf(weights_only=True)"
    assert list(dangers(ast.parse(text))) == []


def test_nobody_draws_from_a_global_generator() -> None:
    """Named streams alone: `robustdd.rng.generator`, or a generator that somebody was given."""
    forbidden = ("torch.manual_seed", "torch.seed", "np.random.seed", "numpy.random.seed", "random.seed")
    found = [
        f"{name}: {called_name}"
        for name, tree in sources()
        for called_name, _ in called(tree)
        if called_name in forbidden
    ]
    drawing = ("torch.rand", "torch.randn", "torch.randint", "torch.randperm", "torch.normal", "torch.bernoulli")
    found += [
        f"{name}: {called_name} without a generator"
        for name, tree in sources()
        for called_name, call in called(tree)
        if called_name in drawing and "generator" not in {keyword.arg for keyword in call.keywords}
    ]
    found += [name for name, tree in sources() for node in ast.walk(tree) if imports(node, "random")]
    assert found == []


def imports(node: ast.AST, module: str) -> bool:
    return isinstance(node, ast.Import) and module in {alias.name for alias in node.names}
