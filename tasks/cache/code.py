"""Which code an artifact comes from: the project modules that a task reaches, without their comments.

Neither the place of a module nor its name counts: a module moves, and every artifact stays Cached. A C++ file beside a
module of its name is a part of it, and counts as it is, comments and all.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parents[2]
"""The folder of the code: the parent of flows/, tasks/ and robustdd/."""

PACKAGES = ("robustdd", "tasks", "flows")

NOT_IN_KEYS = ("tasks.cache", "tasks.task", "robustdd", "robustdd.params")
"""What decides when a task runs and where its files lie, never what is in them; of tasks/cache, the whole room. And the
sections of params.yaml, whose values stand in the keys themselves, and `robustdd/__init__`, a table of lazy names."""

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


def module_of(stage: str) -> str:
    """Name of the module of a stage's tasks."""
    return f"tasks.stages.{stage.replace('-', '_')}"


def closure(name: str) -> dict[str, Path]:
    """The project modules that `name` reaches through its imports, itself included: module name to file, as met.

    Those in `IN_ALL_KEYS` are reached from everywhere. Imports inside functions count; those under `if TYPE_CHECKING`
    do too, which is at worst too careful. Packages above a module do not: a room's `__init__` holds a docstring alone.
    """
    return {module: path for module, path, _ in _reached(name)}


def code_hash(name: str) -> str:
    """Sha256 of the code that `name` reaches, blind to where a module lies and what it is called.

    Hashed are the syntax trees of the modules, in order of the walk over the imports, without comments, docstrings and
    imports of the project. For an import stand the name that it binds and the number of the module in that walk; where
    in its module it stands does not count, so a name that an import binds may be bound nowhere else in the module.
    """
    reached = _reached(name)
    numbers = {module: number for number, (module, _, _) in enumerate(reached)}
    total = hashlib.sha256()
    for _, path, links in reached:
        numbered = [(bound, attribute, numbers.get(module)) for bound, attribute, module in links]
        total.update(f"{_tree_hash(*_stamped(path))} {numbered}\n".encode())
    return total.hexdigest()


def changed_since_read(name: str) -> bool:
    """Whether a module that `name` reaches is another one than when this process first asked, soon after loading it."""
    return any(_first_read(path) != _read(path) for path in closure(name).values())


Link = tuple[str, str, str]
"""An import: the name that it binds, the attribute that it takes (empty for a whole module), and the module."""


def _reached(name: str) -> list[tuple[str, Path, list[Link]]]:
    """Every module that `name` reaches with its file and its imports, in an order that no name of a module changes."""
    found: dict[str, tuple[str, Path, list[Link]]] = {}
    waiting = [name, *IN_ALL_KEYS]
    for module in waiting:
        path = module_file(module)
        if module in found or path is None or (_in_no_key(module) and module != name):
            continue
        links = sorted((_resolved(*link) for link in _imported(*_stamped(path))), key=lambda link: link[:2])
        found[module] = module, path, links
        if (beside := path.with_suffix(COMPILED)).is_file():
            found[f"{module}{COMPILED}"] = f"{module}{COMPILED}", beside, []
        waiting += [target for _, _, target in links]
    return list(found.values())


def _in_no_key(module: str) -> bool:
    return module in NOT_IN_KEYS or module.rpartition(".")[0] == "tasks.cache"


def _resolved(bound: str, attribute: str, module: str) -> Link:
    inner = f"{module}.{attribute}"
    return (bound, "", inner) if attribute and module_file(inner) else (bound, attribute, module)


@cache
def _first_read(path: Path) -> tuple[str, tuple[Link, ...]]:
    return _read(path)


def _read(path: Path) -> tuple[str, tuple[Link, ...]]:
    """What this file holds, and what it imports from where."""
    stamped = _stamped(path)
    return _tree_hash(*stamped), () if path.suffix == COMPILED else _imported(*stamped)


def _stamped(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def _parse(path: Path) -> ast.Module:
    with _PARSING:
        return ast.parse(path.read_bytes(), path.name)


@cache
def _imported(path: Path, _mtime: int, _size: int) -> tuple[Link, ...]:
    links: list[Link] = []
    for node in filter(_is_project_import, ast.walk(_parse(path))):
        if isinstance(node, ast.Import):
            links += [(alias.asname or alias.name, "", alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            links += [(alias.asname or alias.name, alias.name, node.module) for alias in node.names]
    return tuple(links)


@cache
def _tree_hash(path: Path, _mtime: int, _size: int) -> str:
    text = path.read_bytes() if path.suffix == COMPILED else _shape(_parse(path)).encode()
    return hashlib.sha256(text).hexdigest()


def _shape(node: object) -> str:
    """Text of a syntax tree without its empty fields: `ast.dump` tells others of them in every version of Python."""
    if isinstance(node, ast.AST):
        told = ((name, _shape(value)) for name, value in ast.iter_fields(node) if value is not None)
        return f"{type(node).__name__}({','.join(f'{name}={shape}' for name, shape in told if shape != '[]')})"
    if isinstance(node, list):
        return f"[{','.join(_shape(part) for part in node if not _is_left_out(part))}]"
    return repr(node)


def _is_left_out(node: object) -> bool:
    """Whether a statement is text, nothing, or an import of a project module, which `code_hash` tells by its target."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return text or isinstance(node, ast.Pass) or _is_project_import(node, all)


def _is_project_import(node: object, of_these: Callable[[list[bool]], bool] = any) -> bool:
    """Whether `any`, or `all`, of the modules that an import names are the project's."""
    names: list[str] = []
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
        names = [node.module]
    elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    return bool(names) and of_these([name.split(".")[0] in PACKAGES for name in names])
