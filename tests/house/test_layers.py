"""The layers: flows -> tasks -> robustdd, the floors of the core, and rooms whose doors hide nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.pipeline import CODE, environment


def lint(folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the packages of `folder`."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    return run(command, folder, home, PYTHONPATH=str(folder))


def run(command: Sequence[str], folder: Path, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = environment(home, **more)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def contracts() -> list[dict[str, Any]]:
    return tomllib.loads((CODE / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_every_contract_is_kept(tmp_path: Path) -> None:
    done = lint(CODE, tmp_path)
    assert done.returncode == 0, done.stdout
    assert len(contracts()) >= 6 and f"{len(contracts())} kept, 0 broken" in done.stdout


def test_what_breaks_a_contract_is_found(tmp_path: Path) -> None:
    """The contracts of this project over a small tree that breaks each of them."""
    (tmp_path / "pyproject.toml").write_bytes((CODE / "pyproject.toml").read_bytes())
    rooms = next(contract for contract in contracts() if "containers" in contract)["layers"]
    names = [name.strip() for floor in rooms for name in floor.split("|")]
    texts = {f"robustdd/{name}.py": "" for name in names if not name.startswith("(") and name != "engine"} | {
        "robustdd/__init__.py": "",
        "robustdd/core.py": "def late():\n    import prefect\n",
        "tasks/__init__.py": "import robustdd.cli\n",
        "flows/__init__.py": "",
        "robustdd/upward.py": "import flows\n",
        "robustdd/engine/__init__.py": "",
        "robustdd/engine/native.py": "",
        "robustdd/data.py": "import robustdd.engine.native\n",
        "tasks/stages.py": "import tasks.watch\n",
        "tasks/watch.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = lint(tmp_path, tmp_path / "home")
    assert done.returncode == 1 and "0 kept, 6 broken" in done.stdout, done.stdout
    assert "robustdd.core -> prefect (l.2)" in done.stdout
    assert "robustdd.data -> robustdd.engine.native (l.1)" in done.stdout


def test_a_room_s_init_holds_a_docstring_alone() -> None:
    """The identity of code follows imports, and sees no package above a module."""
    doors = [path for package in ("robustdd", "tasks") for path in sorted((CODE / package).glob("*/**/__init__.py"))]
    bodies = {str(path.relative_to(CODE)): ast.parse(path.read_bytes()).body for path in doors}
    assert len(bodies) > 10
    assert [name for name, body in bodies.items() if len(body) != 1 or not isinstance(body[0], ast.Expr)] == []


def test_the_core_imports_without_an_orchestrator(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('prefect', 'dvc', 'tasks', 'flows'): sys.modules[name] = None\n"
        "import pkgutil, importlib, robustdd\n"
        "names = [module.name for module in pkgutil.walk_packages(robustdd.__path__, 'robustdd.')]\n"
        "for name in names: name.endswith('__main__') or importlib.import_module(name)\n"
        "print(len(names))\n"
    )
    done = run((sys.executable, "-c", program), CODE, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_import_robustdd_costs_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, robustdd\n"
        "heavy = ('torch', 'numpy', 'pydantic', 'ruamel', 'faiss', 'pandas', 'pyarrow', 'sklearn', 'matplotlib')\n"
        "print(sorted(set(heavy) & set(sys.modules)))\n"
    )
    done = run((sys.executable, "-c", program), CODE, tmp_path)
    assert done.stdout == "[]\n", done.stderr
