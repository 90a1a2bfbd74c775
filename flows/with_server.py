"""Run a command with a Prefect server on loopback that lives exactly as long: `python -m flows.with_server COMMAND`.

A signal that ends this ends the command first, with all that it started; the server dies with this process however
that ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.relay import Relay
from flows.server import answers
from flows.tethered import tethered
from robustdd.errors import RobustddError
from robustdd.store.disk import told_in_one_line

START_SECONDS = 120.0
STOP_SECONDS = 10.0
LOOPBACK = "127.0.0.1"
SERVER = (sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port")
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_UI_API_URL": "/api",
}
"""What of env.mk a server must have to phone nowhere and to show its UI, where nobody has set it."""


def home_of(environment: Mapping[str, str]) -> Path:
    """Where Prefect keeps its files: where PREFECT_HOME says, else in this folder, never in the user's home."""
    return Path(environment.get("PREFECT_HOME", ".robustdd/prefect")).resolve()


@contextmanager
def loopback_server(home: Path, given_up: Callable[[], bool] = lambda: False) -> Iterator[str | None]:
    """Start a server on a free port and yield its API's address; None, with one line said, when it does not come up.

    Its database and its log lie in `home`. It is not waited for any longer once `given_up` holds.
    """
    log = home / "server.log"
    with told_in_one_line(home):
        home.mkdir(parents=True, exist_ok=True)
        output = log.open("w")
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = str(probe.getsockname()[1])
    url = f"http://{LOOPBACK}:{port}/api"
    own = {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": port, "PREFECT_API_URL": url}
    with output:
        server = subprocess.Popen(
            tethered(*SERVER, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**QUIET, **os.environ, **own},
            start_new_session=True,
        )
    try:
        if _healthy(server, url, given_up):
            print(f"Prefect server: {url.removesuffix('/api')} (until this command ends)", file=sys.stderr)
            yield url
        else:
            if not given_up():
                print(f"Prefect server: it did not come up, see {log}; going on without one", file=sys.stderr)
            yield None
    finally:
        _stop(server)


def _healthy(server: subprocess.Popen[bytes], url: str, given_up: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None and not given_up():
        if answers(url):
            return True
        time.sleep(0.3)
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    for way in (signal.SIGTERM, signal.SIGKILL):
        if server.poll() is None:
            os.killpg(server.pid, way)
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def main(command: Sequence[str]) -> int:
    """Exit code of the command, or 128 + n for signal n.

    A server that runs already, named by PREFECT_API_URL, is used and left alone.
    """
    if not command:
        print("usage: python -m flows.with_server COMMAND [ARGUMENT ...]", file=sys.stderr)
        return 2
    if shutil.which(command[0]) is None:
        print(f"error: {command[0]}: no such command; expected one that a shell would find", file=sys.stderr)
        return 127
    named, home = os.environ.get("PREFECT_API_URL"), home_of(os.environ)
    with Relay() as relay:
        if named and answers(named):
            return relay.run(command, os.environ)
        try:
            with loopback_server(home, relay.asked) as url:
                own = {"PREFECT_HOME": str(home), "PREFECT_API_URL": url} if url else {}
                return relay.run(command, {**os.environ, **own})
        except RobustddError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
