"""The container's files, which no test can build: read as an engine reads them, linted, and held to the rest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from ruamel.yaml import YAML

from tests.support.pipeline import CODE, environment

PROJECT: dict[str, Any] = tomllib.loads((CODE / "pyproject.toml").read_text())


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile with its argument, continued lines joined, comments left out."""
    lines = [line for line in (CODE / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, rest) for name, rest in found]


def of(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def test_the_linter_finds_nothing() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run((linter, "--no-color", CODE / "Dockerfile"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_base_is_a_full_version_with_a_digest_to_be_given() -> None:
    arguments = dict(argument.partition("=")[::2] for argument in of("ARG"))
    assert of("FROM") == ["python:${PYTHON_TAG}${PYTHON_DIGEST:+@${PYTHON_DIGEST}}"]
    tag = re.fullmatch(r"(\d+\.\d+\.\d+)-slim-[a-z]+", arguments["PYTHON_TAG"])
    assert tag and SpecifierSet(PROJECT["project"]["requires-python"]).contains(tag[1])
    assert arguments["PYTHON_DIGEST"] == "", "a digest belongs to one platform's build, and is given with it"


def test_it_ends_as_an_ordinary_user_under_an_init() -> None:
    names = [name for name, _ in instructions()]
    (user,) = of("USER")
    assert user.isdigit() and int(user) >= 1000 and f"--uid {user}" in of("RUN")[0]
    assert "apt-get" not in "".join(rest for name, rest in instructions()[names.index("USER") :])
    (entry,) = of("ENTRYPOINT")
    assert entry.startswith('["tini", "-g"') and " tini" in of("RUN")[0]


def test_nothing_secret_is_taken_in() -> None:
    words = re.compile(r"(token|secret|passw|api_key|credential)", re.IGNORECASE)
    assert not [rest for name, rest in instructions() if name in ("ARG", "ENV", "COPY") and words.search(rest)]
    assert not of("ADD")
    rules = [line for line in (CODE / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "**", "everything is left out but what is named"
    assert not [rule for rule in rules if rule.startswith("!") and words.search(rule)]


def copied() -> list[str]:
    """What COPY takes from the checkout."""
    return [source for rest in of("COPY") for source in re.sub(r"--\S+ ", "", rest).split()[:-1]]


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    allowed = [line[1:] for line in (CODE / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in copied():
        assert (CODE / source).exists(), source
        assert any(fnmatch(f"{source}/x/params.yaml", rule) or source == rule for rule in allowed), source
    packages = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= set(copied()) and {"dvc.yaml", "params.yaml", ".dvc/config", "pyproject.toml"} <= set(copied())
    assert {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]} <= set(copied())


def test_it_runs_under_what_every_command_runs_under() -> None:
    exported = dict(re.findall(r"^export (\w+) [:?]= (.*)$", (CODE / "env.mk").read_text(), re.MULTILINE))
    own = dict(pair.split("=", 1) for rest in of("ENV") for pair in rest.split())
    assert set(own) == set(exported)
    varied = {"LOGNAME", "PREFECT_HOME", "PREFECT_RESULTS_LOCAL_STORAGE_PATH", "PREFECT_SERVER_API_PORT"}
    assert {name: own[name] for name in set(own) - varied} == {name: exported[name] for name in set(own) - varied}


def pins(flavour: str) -> dict[str, Version]:
    lines = (CODE / "locks" / f"{flavour}.txt").read_text().split()
    return {name.lower().replace("_", "-"): Version(version) for name, version in (line.split("==") for line in lines)}


@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
def test_a_lock_pins_what_the_project_asks_for(flavour: str) -> None:
    project, found = PROJECT["project"], pins(flavour)
    extra, dev = project["optional-dependencies"][flavour], PROJECT["dependency-groups"]["dev"]
    for one in map(Requirement, (*project["dependencies"], *extra, *dev)):
        assert one.specifier.contains(found[one.name.lower()], prereleases=True), one
    other = {"cpu": "faiss-gpu", "gpu": "faiss-cpu"}[flavour]
    assert other not in found, "both at once is an error of robustdd"


def test_the_locks_differ_in_what_a_gpu_needs_alone() -> None:
    cpu, gpu = pins("cpu"), pins("gpu")
    both = cpu.keys() & gpu.keys()
    assert {name: cpu[name] for name in both} == {name: gpu[name] for name in both}
    assert cpu.keys() - gpu.keys() == {"faiss-cpu"}
    assert all(name == "faiss-gpu" or name.startswith("nvidia-") for name in gpu.keys() - cpu.keys())


def test_the_image_installs_the_lock_and_the_project_without_looking_further() -> None:
    first, second = of("RUN")[1:3]
    assert "pip install" in first and first.endswith("--requirement locks/gpu.txt")
    assert "--no-deps --no-build-isolation --editable ." in second


def test_the_server_is_reached_from_this_machine_alone() -> None:
    compose = YAML(typ="safe").load((CODE / "compose.yaml").read_text())
    server, worker = compose["services"]["server"], compose["services"]["worker"]
    assert all(port.startswith("127.0.0.1:") for port in server["ports"]) and "ports" not in worker
    for service in (server, worker):
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "network_mode", "pid"} & set(service) and "docker.sock" not in str(service)
        assert not service["user"].startswith(("root", "0"))
    assert worker["environment"]["PREFECT_API_URL"] == "http://server:4200/api"
    assert worker["depends_on"] == {"server": {"condition": "service_healthy"}}
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_same_steps_install_it_in_a_bare_environment(tmp_path: Path) -> None:
    """Nothing but what COPY takes, and the two pip commands of the Dockerfile: the server imports, a study is read."""
    for source in copied():
        target = tmp_path / "robustdd" / source
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = (CODE / source).is_dir()
        shutil.copytree(CODE / source, target, symlinks=True) if whole else shutil.copyfile(CODE / source, target)
    subprocess.run((sys.executable, "-m", "venv", tmp_path / "venv"), check=True)
    python = str(tmp_path / "venv/bin/python")
    home = environment(tmp_path / "home", PYTHONPATH="")
    if subprocess.run((python, "-m", "pip", "download", "-q", "--no-deps", "-d", tmp_path, "pip"), env=home).returncode:
        pytest.skip("no package index answers")
    commands = [step.strip().split() for run in of("RUN")[1:3] for step in run.split("&&") if "pip install" in step]
    commands += [["python", "-m", "pip", "check"], ["python", "-m", "robustdd", "check"]]
    commands += [["python", "-c", "import prefect.server.api.server, faiss, torch, dvc.repo, flows.stage"]]
    for command in commands:
        env = {**home, "PATH": f"{tmp_path / 'venv/bin'}:/usr/bin:/bin"}
        done = subprocess.run(
            (python, *command[1:]), cwd=tmp_path / "robustdd", env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
