"""A small DVC project in a folder of its own: a copy of this code, one study, git and dvc as a user has them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.support.pipeline import CODE, environment
from tests.support.studies import CELL, SGR, tiny_study, write_study

STUDY = "studies/tiny"
FILE = f"{STUDY}/dvc.yaml"
OURS, RANDOM = f"{CELL}-ours-ipc1-s0", f"{CELL}-random-ipc1-s0"
STAGES = 13
"""How many stages of tasks DVC runs for the small study."""
DVC_STAGES = STAGES + 1
"""And with them `code`, which has no task."""


def small_study() -> dict[str, Any]:
    """The tiny study with one view and two rows: every kind of stage, each once or twice."""
    params = tiny_study()
    rows = {RANDOM: {**params["rows"][RANDOM], "view": SGR}, OURS: params["rows"][OURS]}
    return {**params, "views": {SGR: params["views"][SGR]}, "rows": rows}


@dataclass(frozen=True)
class Resolved:
    """A stage of dvc.yaml as it stands for one id."""

    cmd: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: dict[str, dict[str, Any]]


def name_in_dvc(stage: str, ident: str) -> str:
    """What DVC calls a stage."""
    return stage if stage in ("code", "report") else f"{stage}@{ident}"


def stages_of_dvc() -> dict[str, Any]:
    """The stages of dvc.yaml, as they are written."""
    found: dict[str, Any] = YAML(typ="safe").load((CODE / "dvc.yaml").read_text())["stages"]
    return found


def resolved(study: Mapping[str, Any]) -> dict[tuple[str, str], Resolved]:
    """The stages of dvc.yaml for every id of a params.yaml, by stage and id."""
    found = {}
    for name, stage in stages_of_dvc().items():
        for ident, values in _instances(stage, study):
            body = _filled(stage.get("do", stage), {**study, **values})
            outs = {path: flags for out in body["outs"] for path, flags in _out(out).items()}
            found[name, ident] = Resolved(body["cmd"], tuple(body["deps"]), tuple(body.get("params", ())), outs)
    return found


def _instances(stage: Mapping[str, Any], study: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if "foreach" in stage:
        table = _look_up(stage["foreach"][2:-1], study)
        return [(key, {"key": key, "item": item}) for key, item in table.items()]
    if "matrix" in stage:
        ((axis, text),) = stage["matrix"].items()
        return [(ident, {"item": {axis: ident}}) for ident in _look_up(text[2:-1], study)]
    return [(study["name"], {})]


def _filled(value: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(_look_up(found.group(1), names)), value)
    if isinstance(value, list):
        return [_filled(part, names) for part in value]
    if isinstance(value, dict):
        return {_filled(key, names): _filled(part, names) for key, part in value.items()}
    return value


def _look_up(way: str, names: Mapping[str, Any]) -> Any:
    value: Any = names
    for part in way.split("."):
        value = value[part]
    return value


def _out(out: str | dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {out: {}} if isinstance(out, str) else out


def make_project(folder: Path, study: dict[str, Any]) -> Path:
    """A repository with this code and one study beside it; nothing is run yet."""
    folder.mkdir(parents=True)
    for name in ("robustdd", "tasks", "flows"):
        shutil.copytree(CODE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(CODE / name, folder / name)
    write_study(folder / STUDY, study)
    shutil.copyfile(CODE / "dvc.yaml", folder / STUDY / "dvc.yaml")
    git(folder, "init", "-q")
    commit_all(folder, "a study")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """What `git ARGUMENTS` says."""
    env = project_environment(folder)
    done = subprocess.run(("git", *arguments), cwd=folder, env=env, check=True, capture_output=True, text=True)
    return done.stdout


def commit_all(folder: Path, message: str) -> None:
    """Commit what git does not ignore."""
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=tester", "-c", "user.email=tester@localhost", "commit", "-q", "-m", message)


def project_environment(folder: Path) -> dict[str, str]:
    """The environment of a command there: the code is the copy; caches and settings of the user are not seen."""
    home = folder.with_name(f"{folder.name}-home")
    home.mkdir(exist_ok=True)
    own = {name: str(home) for name in ("HOME", "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")}
    settings = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    return environment(home, PYTHONPATH=str(folder), DVC_NO_ANALYTICS="1", **own, **settings)


def dvc(folder: Path, *arguments: str, code: int = 0, **more: str) -> str:
    """What `dvc ARGUMENTS` says, with `more` in its environment; it must end with exit code `code`."""
    return said_by(folder, "dvc", *arguments, code=code, **more)


def python(folder: Path, *arguments: str, code: int = 0, **more: str) -> str:
    """What `python ARGUMENTS` says there."""
    return said_by(folder, sys.executable, *arguments, code=code, **more)


def said_by(folder: Path, *command: str, code: int = 0, **more: str) -> str:
    """Both outputs of a command in the project, which must end with exit code `code`."""
    env = {**project_environment(folder), **more}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
