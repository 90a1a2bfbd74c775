"""Which code an artifact comes from: the project modules that a task reaches, without their comments.

A C++ file beside a module of its name is a part of it, and counts as it is, comments and all.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the code: the parent of flows/, tasks/ and robustdd/."""

PACKAGES = ("robustdd", "tasks", "flows")

NOT_IN_KEYS = frozenset(
    {
        *(
            "tasks",
            "tasks.code",
            "tasks.code_record",
            "tasks.stages",
            "tasks.units",
            "tasks.caching",
            "tasks.producing",
            "tasks.made",
            "tasks.locking",
            "tasks.layout",
            "tasks.policy",
            "tasks.worker",
        ),
        *("robustdd", "robustdd.params"),
    }
)
"""Modules that decide when a task runs and where its files lie, never what is in them; and the sections of params.yaml,
whose values stand in the keys themselves; and `robustdd/__init__`, a table of lazy names."""

IN_ALL_KEYS = ("robustdd.exactness",)
"""Modules that decide what is in an artifact and that no task imports."""

COMPILED = ".cpp"
"""Ending of what a module hands to a compiler."""

_PARSING = Lock()
"""Two threads in `ast.parse` at once can raise SystemError in Python 3.11 (recursion depth mismatch)."""


def module_file(name: str) -> Path | None:
    """File of the project module `name`, None when there is none of that name."""
    path = ROOT.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def closure(name: str) -> dict[str, Path]:
    """The project modules that `name` reaches through its imports, itself included: module name to file, sorted.

    Those in `IN_ALL_KEYS` are reached from everywhere.

    Imports inside functions count; those under `if TYPE_CHECKING` do too, which is at worst too careful.
    """
    found: dict[str, Path] = {}
    waiting = [name, *IN_ALL_KEYS]
    while waiting:
        module = waiting.pop()
        path = module_file(module)
        if module in found or module in NOT_IN_KEYS or path is None:
            continue
        found[module] = path
        if (beside := path.with_suffix(COMPILED)).is_file():
            found[f"{module}{COMPILED}"] = beside
        waiting += _imported(*_stamped(path))
    return dict(sorted(found.items()))


def code_hash(name: str) -> str:
    """Sha256 over the syntax trees, without comments and docstrings, of every module that `name` reaches."""
    total = hashlib.sha256()
    for module, tree in tree_hashes(name).items():
        total.update(f"{module}\n{tree}\n".encode())
    return total.hexdigest()


def tree_hashes(name: str, *more: str) -> dict[str, str]:
    """Sha256 of the syntax tree of every module that `name` reaches, and of `more` modules: by name, sorted."""
    files = closure(name) | {other: path for other in more if (path := module_file(other))}
    return {module: _tree_hash(*_stamped(path)) for module, path in sorted(files.items())}


def changed_since_read(name: str) -> bool:
    """Whether a module that `name` reaches is another one than when this process first asked, soon after loading it."""
    return any(_first_tree_hash(path) != _tree_hash(*_stamped(path)) for path in closure(name).values())


@cache
def _first_tree_hash(path: Path) -> str:
    return _tree_hash(*_stamped(path))


def _stamped(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def _parse(path: Path) -> ast.Module:
    with _PARSING:
        return ast.parse(path.read_bytes(), path.name)


@cache
def _imported(path: Path, _mtime: int, _size: int) -> tuple[str, ...]:
    names: set[str] = set()
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    inside = [name for name in names if name.split(".")[0] in PACKAGES]
    parents = {".".join(name.split(".")[:depth]) for name in inside for depth in range(1, name.count(".") + 1)}
    return tuple(sorted({*inside, *parents}))


@cache
def _tree_hash(path: Path, _mtime: int, _size: int) -> str:
    if path.suffix == COMPILED:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    tree = _parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return hashlib.sha256(_shape(tree).encode()).hexdigest()


def _shape(node: object) -> str:
    """Text of a syntax tree without its empty fields: `ast.dump` tells others of them in every version of Python."""
    if isinstance(node, ast.AST):
        told = (f"{name}={_shape(value)}" for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({','.join(told)})"
    if isinstance(node, list):
        return f"[{','.join(map(_shape, node))}]"
    return repr(node)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
