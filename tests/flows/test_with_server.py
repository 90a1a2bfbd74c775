"""A command with a server of its own: it ends with the command, and both end however this is ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows import with_server
from flows.relay import LEFT_SECONDS
from flows.stopping import GRACE_SECONDS, STOP_SECONDS
from tests.support.live_server import ui_environment
from tests.support.pipeline import environment
from tests.support.stage_processes import family, gone, kill, until

CHILD = """
import os, signal, sys, time
from pathlib import Path

def heed(number, _):
    with open("told", "a") as told:
        told.write(f"{number}\\n")
    if os.path.exists("saved"):
        os._exit(0)
    Path("saved.begun").touch()

def saved():
    time.sleep(0.5)
    Path("saved").touch()
    sys.exit(7)

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGINT:
        signal.signal(number, heed)
Path("home-of-child").write_text(os.environ["PREFECT_HOME"])
while not os.path.exists("saved.begun"):
    time.sleep(0.05)
saved()
"""
"""Heeds a signal as a stage does that saves a checkpoint: it takes its time, and notes every one that it is told."""

Started = list[subprocess.Popen[str]]


@pytest.fixture
def started() -> Iterator[Started]:
    running: Started = []
    yield running
    for process in running:
        for one in family(process.pid):
            one.kill()
        process.kill()
        process.communicate()


def _hears_a_hangup() -> None:
    """Else a suite that `nohup` began would hand its deafness on."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def begin(
    started: list[subprocess.Popen[str]], folder: Path, *command: str, under: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """`flows.with_server COMMAND` with a stand-in for the server, in a session of its own: it has no terminal."""
    (folder / "child.py").write_text(CHILD)
    env = environment(folder / "home")
    for name in ("PREFECT_HOME", "PREFECT_RESULTS_LOCAL_STORAGE_PATH", *with_server.QUIET):
        env.pop(name, None)
    line = (*under, sys.executable, "-m", "tests.support.server_stand_in", str(folder), *command)
    process = subprocess.Popen(
        line,
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_hears_a_hangup,
    )
    started.append(process)
    return process


STAGE = ("sh", "-c", f"{sys.executable} child.py & wait")
"""A command that a signal kills, as it does DVC, over a child that saves what it has."""


def server_of(folder: Path) -> psutil.Process:
    until(lambda: (folder / "server.json").exists() and (folder / "home-of-child").exists())
    return psutil.Process(json.loads((folder / "server.json").read_text())["pid"])


def test_the_command_decides_the_exit_code_and_the_server_ends_with_it(tmp_path: Path, started: Started) -> None:
    asked = "import os, sys; sys.exit(5 if os.environ['PREFECT_API_URL'].endswith('/api') else 1)"
    assert begin(started, tmp_path, sys.executable, "-c", asked).wait(60) == 5
    found = json.loads((tmp_path / "server.json").read_text())
    assert not psutil.pid_exists(found["pid"])
    assert found["PREFECT_HOME"] == str(tmp_path / ".robustdd/prefect"), "never in the user's own home"
    assert with_server.QUIET.items() <= found.items(), "it phones nowhere, though nobody set a switch"
    assert begin(started, tmp_path, "sh", "-c", "kill -9 $$").wait(60) == 128 + signal.SIGKILL


def test_what_a_server_is_given_is_what_env_mk_says(tmp_path: Path) -> None:
    assert with_server.QUIET.items() <= ui_environment(tmp_path).items()


@pytest.mark.parametrize(("arguments", "code", "line"), [((), 2, "usage: "), (("no-such",), 127, "error: no-such: ")])
def test_a_command_that_cannot_be_run_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, line: str
) -> None:
    assert with_server.main(arguments) == code
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_command_with_its_children_and_then_the_server(
    tmp_path: Path, started: Started, number: signal.Signals
) -> None:
    process = begin(started, tmp_path, *STAGE)
    server = server_of(tmp_path)
    process.send_signal(number)
    until((tmp_path / "told").exists)
    assert server.is_running() and process.poll() is None, "it has its server to the end"
    assert process.wait(60) == 128 + number
    assert (tmp_path / "saved").exists() and gone([server])
    assert (tmp_path / "told").read_text().split() == [str(int(number))]
    assert (tmp_path / "home-of-child").read_text() == str(tmp_path / ".robustdd/prefect")


def test_a_signal_before_the_server_is_up_starts_no_command(tmp_path: Path, started: Started) -> None:
    never = begin(started, tmp_path, "touch", "ran", under=("env", "NEVER_UP=1"))
    until((tmp_path / "server.json").exists)
    never.terminate()
    assert never.wait(60) == 128 + signal.SIGTERM and not (tmp_path / "ran").exists()
    assert not psutil.pid_exists(json.loads((tmp_path / "server.json").read_text())["pid"])


def test_hangup_is_nothing_under_nohup(tmp_path: Path, started: Started) -> None:
    process = begin(started, tmp_path, *STAGE, under=("nohup",))
    server_of(tmp_path)
    process.send_signal(signal.SIGHUP)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert (tmp_path / "told").read_text().split() == [str(int(signal.SIGTERM))]


@pytest.mark.skipif(sys.platform != "linux", reason="the system must tell a process of its parent's death")
def test_the_server_of_one_that_is_killed_dies_with_it(tmp_path: Path, started: Started) -> None:
    process = begin(started, tmp_path, *STAGE)
    server = server_of(tmp_path)
    command = [one for one in family(process.pid) if one != server]
    process.kill()
    until(lambda: gone([server]))
    assert len(command) == 2 and not gone(command), "the command goes on without a server"
    for one in command:
        kill(one)


def test_ctrl_c_in_a_terminal_reaches_the_command_once(tmp_path: Path, started: Started) -> None:
    """The terminal tells all of its foreground; a stage that is told twice saves nothing. DVC waits for its stage."""
    waits = ("sh", "-c", f"trap '' INT; {STAGE[2]}")
    terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    process = begin(started, tmp_path, *waits, under=(sys.executable, "-c", terminal))
    server = server_of(tmp_path)
    assert process.stdin is not None
    process.stdin.write("\x03")
    process.stdin.flush()
    assert process.wait(60) == 128 + signal.SIGINT
    assert (tmp_path / "told").read_text().split() == [str(int(signal.SIGINT))]
    assert (tmp_path / "saved").exists() and gone([server])


def test_a_stage_that_cuts_itself_off_is_waited_for() -> None:
    assert LEFT_SECONDS > STOP_SECONDS + GRACE_SECONDS
