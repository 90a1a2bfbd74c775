"""`import robustdd` costs nothing, and the science needs torch and numpy alone."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import robustdd

ORCHESTRA = ("prefect", "dvc", "tasks", "flows")
SCIENCE = (
    *("errors", "noise.api", "params", "progress", "rng", "data.whitening"),
    *(f"distillation.{name}" for name in ("adjoint", "gradients", "initialisation", "matching", "sampling", "student")),
    *(f"distillation.{name}" for name in ("synthetic", "unroll", "update")),
    *(f"networks.{name}" for name in ("augment", "convnet", "resample", "sam", "training")),
    *(f"weighting.{name}" for name in ("consistency", "forgetting", "neighbours", "reliability", "weights")),
    *("evaluation.label_errors", "trajectories.clean_targets", "trajectories.teachers"),
)
FOREIGN = (
    *("pydantic", "ruamel", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "faiss", "torchvision"),
    *("typer", "rich", "jinja2", *ORCHESTRA),
)


def loaded_after(statement: str, blocked: tuple[str, ...] = ()) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `statement`; those `blocked` cannot be imported there."""
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); {statement}; "
    code += "print(*{name.split('.')[0] for name, module in sys.modules.items() if module})"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing() -> None:
    assert not loaded_after("import robustdd; dir(robustdd); robustdd.__version__") & {"torch", "numpy", *FOREIGN}


def test_the_science_needs_torch_and_numpy_alone() -> None:
    statement = "import " + ", ".join(f"robustdd.{name}" for name in SCIENCE)
    assert "torch" in loaded_after(statement, blocked=FOREIGN)


def test_errors_and_params_need_not_even_torch() -> None:
    assert "torch" not in loaded_after("from robustdd import UserError, Recipe; Recipe()", blocked=("torch", "numpy"))


@pytest.mark.parametrize("name", sorted(set(robustdd.__all__) - {"__version__"}))
def test_every_public_name_has_its_home(name: str) -> None:
    found = getattr(robustdd, name)
    assert found.__name__ == name and found.__doc__
    assert getattr(import_module(found.__module__), name) is found


def test_no_public_name_hides_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules(robustdd.__path__)}
    assert not modules & set(robustdd.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert set(robustdd.__all__) <= set(dir(robustdd))
    assert not hasattr(robustdd, "no_such_name")
    with pytest.raises(ImportError, match="cannot import name 'no_such_name'"):
        exec("from robustdd import no_such_name")
