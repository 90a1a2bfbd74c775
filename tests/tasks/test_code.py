"""Code identity: which modules a task reaches, and what in them changes a key."""

from __future__ import annotations

import ast
import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import robustdd
from robustdd import params
from robustdd.engine.native import cpu
from robustdd.study.graph import STAGES
from tasks.cache import code
from tasks.cache.code import closure, code_hash, module_of
from tests.support.pipeline import CODE

TREE = {
    "robustdd/__init__.py": '"""Core."""\nimport robustdd.aside\n',
    "robustdd/errors.py": "class Trouble(Exception):\n    pass\n",
    "robustdd/near/__init__.py": '"""A package."""\nfrom robustdd.errors import Trouble\n\n\n'
    "def read():\n    from robustdd.near import deep\n    return deep.VALUE\n",
    "robustdd/near/deep.py": "import math\n\nVALUE = math.pi\n",
    "robustdd/aside.py": "NOBODY = 1\n",
    "robustdd/params.py": "SECTION = 1\n",
    "tasks/__init__.py": "",
    "tasks/cache/unit.py": "import robustdd.aside\n",
    "tasks/stage.py": '"""A stage."""\nimport robustdd.near\n'
    "from robustdd.params import SECTION\nfrom tasks.cache.unit import x\n\n\n"
    'def body(n):\n    """Double."""\n    return 2 * n  # twice\n',
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


def edit(tree: Path, name: str, old: str, new: str) -> None:
    text = (tree / name).read_text()
    assert old in text
    (tree / name).write_text(text.replace(old, new))


def test_the_closure_follows_imports_inside_functions(tree: Path) -> None:
    found = closure("tasks.stage")
    assert list(found) == ["tasks.stage", "robustdd.near", "robustdd.errors", "robustdd.near.deep"]
    assert found["robustdd.near"] == tree / "robustdd/near/__init__.py"


def test_what_a_module_hands_to_a_compiler_belongs_to_it(tree: Path) -> None:
    without = code_hash("tasks.stage")
    beside = tree / "robustdd/near/deep.cpp"
    beside.write_text("int a;\n")
    assert closure("tasks.stage")["robustdd.near.deep.cpp"] == beside
    first = code_hash("tasks.stage")
    beside.write_text("int ab;\n")
    assert len({without, first, code_hash("tasks.stage")}) == 3


def test_whoever_may_run_the_cpp_has_all_of_its_files_in_the_closure() -> None:
    folder = Path(cpu.__file__).parent
    assert sorted(cpu._FILES) == sorted(path.name for path in folder.glob("*.cpp"))
    for entry in ("robustdd.engine.means", "tasks.stages.distill", "tasks.stages.teachers"):
        assert {f"robustdd.engine.native.{name}" for name in cpu._FILES} <= set(closure(entry))


def test_a_module_of_names_imported_from_a_package_belongs_to_the_closure(tree: Path) -> None:
    edit(tree, "tasks/stage.py", "import robustdd.near\n", "from robustdd import aside\n")
    assert list(closure("tasks.stage")) == ["tasks.stage", "robustdd.aside"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tasks/stage.py", "  # twice", "  # doubled, as the paper has it"),
        ("tasks/stage.py", '"""Double."""', '"""Twice the number.\n\n    Always.\n    """'),
        ("tasks/stage.py", '    """Double."""\n', ""),
        ("tasks/stage.py", "def body", "\n\n# moved down\n\n\ndef body"),
        ("tasks/stage.py", "return 2 * n", "return (2 * n)"),
        ("robustdd/near/__init__.py", '"""A package."""', '"""What is near."""'),
        ("robustdd/near/deep.py", "VALUE = math.pi\n", 'VALUE = math.pi\n"""Of a circle."""\n'),
        ("robustdd/aside.py", "NOBODY = 1", "NOBODY = 2"),
        ("robustdd/params.py", "SECTION = 1", "SECTION = 2"),
        ("robustdd/__init__.py", "import robustdd.aside", "import robustdd.near"),
        ("tasks/cache/unit.py", "import robustdd.aside", "import robustdd.errors"),
        ("tasks/stage.py", "import SECTION\n", "import SECTION\n\npass\n"),
    ],
)
def test_text_layout_and_what_is_not_reached_leave_the_hash(tree: Path, name: str, old: str, new: str) -> None:
    before = code_hash("tasks.stage")
    edit(tree, name, old, new)
    assert code_hash("tasks.stage") == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tasks/stage.py", "2 * n", "3 * n"),
        ("tasks/stage.py", "2 * n", "2.0 * n"),
        ("tasks/stage.py", "2 * n", "n * 2"),
        ("tasks/stage.py", "(n):", "(n=1):"),
        ("robustdd/near/deep.py", "math.pi", "math.tau"),
        ("robustdd/near/__init__.py", "return deep.VALUE", "return -deep.VALUE"),
        ("robustdd/errors.py", "(Exception)", "(ValueError)"),
        ("tasks/stage.py", "return 2 * n", 'return "2 * n"'),
    ],
)
def test_a_change_of_what_runs_changes_the_hash(tree: Path, name: str, old: str, new: str) -> None:
    before = code_hash("tasks.stage")
    edit(tree, name, old, new)
    after = code_hash("tasks.stage")
    assert after != before
    edit(tree, name, new, old)
    assert code_hash("tasks.stage") == before


def test_a_module_that_is_elsewhere_and_called_otherwise_leaves_the_hash(tree: Path) -> None:
    before = code_hash("tasks.stage")
    (tree / "robustdd/far").mkdir()
    (tree / "robustdd/near/deep.py").rename(tree / "robustdd/far/deeper.py")
    edit(
        tree,
        "robustdd/near/__init__.py",
        "from robustdd.near import deep\n",
        "from robustdd.far import deeper as deep\n",
    )
    (tree / "robustdd/errors.py").rename(tree / "robustdd/far/trouble.py")
    edit(tree, "robustdd/near/__init__.py", "from robustdd.errors import", "from robustdd.far.trouble import")
    assert code_hash("tasks.stage") == before
    edit(tree, "robustdd/far/deeper.py", "math.pi", "math.tau")
    assert code_hash("tasks.stage") != before


def test_names_that_come_from_each_other_s_modules_change_the_hash(tree: Path) -> None:
    (tree / "robustdd/two.py").write_text("Trouble = 2\n")
    edit(
        tree,
        "tasks/stage.py",
        "from tasks.cache.unit",
        "from robustdd.two import Trouble as Two\nfrom tasks.cache.unit",
    )
    before = code_hash("tasks.stage")
    edit(tree, "tasks/stage.py", "from robustdd.two", "from robustdd.errors")
    edit(tree, "robustdd/near/__init__.py", "from robustdd.errors", "from robustdd.two")
    assert code_hash("tasks.stage") != before


def test_modules_that_import_each_other_are_told_apart(tree: Path) -> None:
    edit(tree, "robustdd/near/deep.py", "import math\n", "import math\n\nfrom robustdd.near import read\n")
    before = code_hash("tasks.stage")
    edit(tree, "robustdd/near/deep.py", "math.pi", "math.tau")
    assert code_hash("tasks.stage") != before


def test_the_hash_is_of_the_syntax_and_of_no_python_version(tree: Path) -> None:
    # ast.dump tells `type_params=[]` from Python 3.12 on and leaves empty lists out from 3.13 on.
    (tree / "tasks/stage.py").write_text(
        "def f(x, *, y=None):\n    return [x, y, f'{x!r:>5}', ...]\n\n\nclass A:\n    z: int = 0\n"
    )
    assert code_hash("tasks.stage") == "4d562442fc88e2cf27daedc4f26713ae78fc3430edf3009dc84d7b2e767a88af"


def test_every_stage_reaches_the_core_and_nothing_that_only_says_when_it_runs() -> None:
    for stage in STAGES:
        found = closure(module_of(stage))
        assert {"robustdd.errors", "robustdd.exactness"} <= set(found) and not any(
            name.startswith("flows") for name in found
        )
        assert not {*code.NOT_IN_KEYS} & set(found) and not any(name.startswith("tasks.cache.") for name in found)
    assert "robustdd.data.digits" in closure("tasks.stages.images")
    assert {"robustdd.weighting.consistency", "robustdd.weighting.neighbours", "robustdd.weighting.weights"} <= set(
        closure("tasks.stages.teachers")
    )
    assert "robustdd.reporting.report" not in closure("tasks.stages.evaluate")


@pytest.fixture
def parting_threads() -> Iterator[None]:
    """Another thread gets its turn at every collection of garbage, thus in the middle of a parse."""

    def part(phase: str, facts: dict[str, int]) -> None:
        time.sleep(0.0005)

    thresholds = gc.get_threshold()
    gc.set_threshold(100)
    gc.callbacks.append(part)
    yield
    gc.callbacks.remove(part)
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("parting_threads")
def test_threads_may_parse_at_once() -> None:
    """Python 3.11 raises SystemError from `ast.parse` otherwise, and a valid artifact is made again."""
    path = CODE / "robustdd/params.py"
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(code._parse, [path] * 64))
    assert len({ast.dump(tree) for tree in trees}) == 1


def test_modules_not_in_keys_exist() -> None:
    assert all(code.module_file(name) is not None for name in code.NOT_IN_KEYS)


def test_an_import_among_foreign_ones_hides_none_of_them(tree: Path) -> None:
    edit(tree, "robustdd/near/deep.py", "import math\n", "import math, robustdd.aside  # noqa: E401\n")
    before = code_hash("tasks.stage")
    edit(tree, "robustdd/near/deep.py", "import math,", "import cmath as math,")
    assert code_hash("tasks.stage") != before


def test_a_process_notices_an_import_that_leads_elsewhere(tree: Path) -> None:
    """What it has loaded is the old module, and the new one is read for the first time."""
    assert not code.changed_since_read("tasks.stage")
    (tree / "robustdd/wrong.py").write_text("class Trouble(ValueError):\n    pass\n")
    edit(tree, "robustdd/near/__init__.py", "from robustdd.errors", "from robustdd.wrong")
    assert code.changed_since_read("tasks.stage")


def bound_by(node: ast.AST) -> list[str]:
    """Names that a node binds where an import of the project could bind them, too."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.For | ast.With | ast.NamedExpr):
        stored = (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
        return [part.id for part in stored]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom) and not code._is_project_import(node):
        return [alias.asname or alias.name for alias in node.names]
    return []


def test_a_name_of_a_project_import_is_bound_nowhere_else_in_its_module() -> None:
    """The hash does not tell where in a module an import stands."""
    twice = []
    for path in sorted({path for stage in STAGES for path in closure(module_of(stage)).values()}):
        if path.suffix == ".py":
            links: dict[str, set[tuple[str, str]]] = {}
            for bound, attribute, module in code._imported(*code._stamped(path)):
                links.setdefault(bound, set()).add((attribute, module))
            others = {name for node in ast.walk(code._parse(path)) for name in bound_by(node)}
            twice += [f"{path}: {name}" for name, where in links.items() if len(where) > 1 or name in others]
    assert twice == []


def test_sections_of_params_hold_values_alone() -> None:
    """They are in no key but by their values: a method would be code that nobody sees change."""
    sections = [
        value for value in vars(params).values() if isinstance(value, type) and issubclass(value, params.Section)
    ]
    assert len(sections) > 10
    for section in sections:
        assert [name for name, value in vars(section).items() if callable(value) and not name.startswith("__")] == []
        assert [name for name, value in vars(section).items() if isinstance(value, property)] == []


def hides_an_import(node: ast.AST) -> bool:
    """Whether an import is relative, takes a lazy name of the core, or looks up anything but a foreign package."""
    if isinstance(node, ast.ImportFrom):
        lazy = node.module == "robustdd" and {alias.name for alias in node.names} & set(robustdd.__all__)
        return node.level > 0 or bool(lazy and lazy != {"__version__"})
    if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] not in ("import_module", "__import__"):
        return False
    text = next((part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)), "")
    return str(text).split(".")[0] in ("", *code.PACKAGES)


def test_no_module_hides_an_import_from_the_closure() -> None:
    files = [path for package in code.PACKAGES for path in sorted((CODE / package).rglob("*.py"))]
    trees = {str(path.relative_to(CODE)): ast.walk(ast.parse(path.read_bytes())) for path in files}
    hidden = {name for name, nodes in trees.items() if any(map(hides_an_import, nodes))}
    in_the_command_line = {name for name in hidden if name.startswith("robustdd/cli/")}
    # These look up what a user or a unit names: a unit's key follows the module of its task.
    assert hidden - in_the_command_line == {"flows/stage.py", "tasks/cache/cache.py", "robustdd/__init__.py"}
