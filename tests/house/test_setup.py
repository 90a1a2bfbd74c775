"""Set-up on a machine of somebody else: make refuses what cannot work before anything is made, and mends the rest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.pipeline import CODE

VERSION = f"3.{sys.version_info[1]}"
RANGE = re.fullmatch(
    r">=3\.(\d+),<3\.(\d+)", tomllib.loads((CODE / "pyproject.toml").read_text())["project"]["requires-python"]
)
FIRST, LAST = (int(RANGE[1]), int(RANGE[2]) - 1) if RANGE else (0, 0)
AS = """
import re, runpy, sys, sysconfig
sys.version_info = (*map(int, sys.argv[1].split(".")), 0, "final", 0)
sysconfig.get_config_vars()["SOABI"] = sys.argv[2]
if sys.argv[3] == "none":
    sys.modules["ensurepip"] = None
sys.argv = sys.argv[4:]
runpy.run_path(sys.argv[0])
"""
"""Runs a script as another Python would: version, build, whether it has ensurepip, script and arguments."""


def lay(folder: Path) -> Path:
    """What make reads of the checkout."""
    folder.mkdir(parents=True)
    for name in ("Makefile", "env.mk", "pyproject.toml"):
        shutil.copyfile(CODE / name, folder / name)
    shutil.copytree(CODE / "locks", folder / "locks")
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return lay(tmp_path / "checkout")


def make(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`make ARGUMENTS` as a shell runs it; pip installs nothing unless the arguments say so."""
    env = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "PYTHON", "VENV")
    }
    command = ("make", "-s", "--no-print-directory", "-C", folder, "PIP=true", *arguments)
    return subprocess.run(command, env={**env, **more}, capture_output=True, text=True, check=False)


def suits(folder: Path, version: str, build: str = "cpython-{}-x86_64-linux-gnu", pip: str = "some") -> Any:
    digits = version.replace(".", "")
    command = (sys.executable, "-c", AS, version, build.format(digits), pip, "locks/environment.py", "made")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["two words", "o'clock", "a$HOME", "a:b", "a;b", "a#b", "50%", "a(b)", 'a"b', "end "])
def test_a_path_that_make_cannot_hold_is_refused_before_anything_is_made(name: str, tmp_path: Path) -> None:
    folder = lay(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    done = make(folder, "repro", f"PYTHON={sys.executable}")
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert f"{folder}, VENV=.venv, STUDY=.: expected no space in these paths and none of $ ' \"" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "given", ["VENV=", "STUDY=", "VENV=/no/such place/v", "VENV=/no/such:place", "STUDY=studies/a$$b"]
)
def test_so_is_one_that_is_given(given: str, checkout: Path) -> None:
    done = make(checkout, "help", given)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and given.partition("=")[2] in done.stderr


def test_letters_of_other_alphabets_and_a_folder_elsewhere_are_no_hindrance(tmp_path: Path) -> None:
    folder = lay(tmp_path / "日本-ü,x=1+~@")
    done = make(folder, "-n", "setup", "VENV=../elsewhere", f"PYTHON={sys.executable}")
    assert done.returncode == 0, done.stderr
    assert f"{sys.executable} locks/environment.py {tmp_path}/elsewhere" in done.stdout


@pytest.mark.parametrize(
    ("version", "build"),
    [
        (f"3.{FIRST - 1}", "cpython-{}-x86_64-linux-gnu"),
        (f"3.{LAST + 1}", "cpython-{}-x86_64-linux-gnu"),
        ("2.7", ""),
        (f"3.{LAST}", "cpython-{}t-x86_64-linux-gnu"),
        (f"3.{FIRST}", "cpython-{}-x86_64-linux-musl"),
        (f"3.{FIRST}", "cpython-{}-i386-linux-gnu"),
        (f"3.{FIRST}", "pypy{}-pp73-x86_64-linux-gnu"),
    ],
)
def test_a_python_without_wheels_is_refused_with_those_that_have(version: str, build: str, checkout: Path) -> None:
    done = suits(checkout, version, build)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    told = rf"^error: \S+ is Python {version} \(.*\); expected 3\.{FIRST} to 3\.{LAST}, not free-.* PYTHON=python"
    assert re.match(told, done.stderr) and not (checkout / "made").exists()


def test_a_python_that_cannot_make_environments_is_told_the_package(checkout: Path) -> None:
    done = suits(checkout, f"3.{LAST}", pip="none")
    assert done.returncode == 1 and not (checkout / "made").exists()
    assert re.fullmatch(rf"error: \S+ has no ensurepip, .* apt install python3\.{LAST}-venv\n", done.stderr)


def another(folder: Path, name: str, version: str) -> Path:
    """A stand-in for a Python of another version: what make and set-up ask of it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        "#!/bin/sh",
        f'case "$*" in *pip*) echo "pip 1 from there (python {version})";; *-c*) echo "({version})";; esac',
    )
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def test_a_wrong_python_that_is_asked_for_makes_nothing(checkout: Path) -> None:
    old = checkout / "python3.9"
    old.write_text(f'#!/bin/sh\n[ "$1" = -E ] || exec {sys.executable} -c \'{AS}\' 3.9 cpython-39 some "$@"\n')
    old.chmod(0o755)
    done = make(checkout, "setup", f"PYTHON={old}")
    assert done.returncode == 2 and done.stdout == "" and not (checkout / ".venv").exists()
    assert "is Python 3.9 " in done.stderr.splitlines()[0]


def test_an_environment_of_another_python_stays_until_one_is_asked_for(checkout: Path) -> None:
    own = another(checkout, ".venv/bin/python", "3.99")
    (checkout / ".venv/pyvenv.cfg").touch()
    assert make(checkout, "setup").returncode == 0
    assert "3.99" in own.read_text()
    done = make(checkout, "setup", f"PYTHON={sys.executable}")
    assert done.returncode == 0, done.stderr
    said = subprocess.run((own, "-m", "pip", "--version"), capture_output=True, text=True, check=True).stdout
    assert f"(python {VERSION})" in said and str(checkout) in said
    assert make(checkout, "setup", f"PYTHON={sys.executable}").stdout == "", "it is there already"
    assert make(checkout, "setup").stdout == "", "and is found without a word"


def test_half_an_environment_is_made_anew(checkout: Path) -> None:
    subprocess.run((sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"), check=True)
    hostile = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PIP_PYTHON": "/nowhere", "PIP_TARGET": "/nowhere"}
    done = make(checkout, "setup", f"PYTHON={sys.executable}", **hostile)
    assert done.returncode == 0, done.stderr
    subprocess.run((checkout / ".venv/bin/python", "-m", "pip", "--version"), check=True)


def test_a_folder_that_is_no_environment_is_left_alone(checkout: Path) -> None:
    (checkout / "mine").mkdir()
    (checkout / "mine/thesis").touch()
    done = make(checkout, "setup", "VENV=mine", f"PYTHON={sys.executable}")
    assert done.returncode == 2 and (checkout / "mine/thesis").exists()
    assert done.stderr.startswith(f"error: {checkout}/mine is there and is no environment; ")


def wheel(folder: Path) -> None:
    """The smallest package."""
    about = "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n"
    with zipfile.ZipFile(folder / "tiny-1-py3-none-any.whl", "w") as file:
        file.writestr("tiny.py", "")
        file.writestr("tiny-1.dist-info/METADATA", about)
        file.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tiny-1.dist-info/RECORD", "")


@pytest.mark.parametrize("way", ["environment", "file"])
def test_it_installs_into_the_environment_whatever_pip_was_told(way: str, checkout: Path) -> None:
    wheel(checkout)
    assert make(checkout, "setup", f"PYTHON={sys.executable}").returncode == 0
    more = {"PIP_TARGET": str(checkout / "t"), "PIP_NO_DEPS": "1", "PIP_DRY_RUN": "1", "PIP_PYTHON": "/nowhere"}
    if way == "file":
        (checkout / "pip.conf").write_text(f"[install]\nuser = true\ntarget = {checkout / 't'}\n")
        more = {"PIP_CONFIG_FILE": str(checkout / "pip.conf")}
    (checkout / "own.mk").write_text("include Makefile\ninstall:\n\t@$(PIP) --no-index --find-links . tiny\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ("make", "-f", "own.mk", "install"),
        cwd=checkout,
        env={**env, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list((checkout / ".venv").rglob("tiny.py")) and not (checkout / "t").exists()


def test_commands_see_no_settings_of_another_python_and_every_setting_of_the_index(checkout: Path) -> None:
    (checkout / "own.mk").write_text("include Makefile\nshow:\n\t@env\n")
    gone = {
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONOPTIMIZE",
        "PYTHONSAFEPATH",
        "PIP_USER",
        "PIP_PREFIX",
        "VIRTUAL_ENV",
    }
    kept = {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_NO_INDEX", "PYTHONUTF8"}
    env = {**dict.fromkeys(gone | kept, "/x"), "PATH": f"/other/bin:{os.environ['PATH']}", "LOGNAME": "somebody"}
    done = subprocess.run(
        ("make", "-f", "own.mk", "show"), cwd=checkout, env=env, capture_output=True, text=True, check=True
    )
    seen = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert not gone & set(seen) and kept <= set(seen) and seen["LOGNAME"] == "somebody"
    assert seen["PATH"].startswith(f"{checkout}/.venv/bin:/other/bin:")


def test_the_documents_name_the_pythons_that_are_taken() -> None:
    assert f"Python 3.{FIRST} to 3.{LAST}" in (CODE / "README.md").read_text()
