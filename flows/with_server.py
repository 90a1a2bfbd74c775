"""Run a command with a Prefect server on loopback that lives exactly as long: `python -m flows.with_server COMMAND`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.server import answers

START_SECONDS = 120.0
STOP_SECONDS = 10.0
LOOPBACK = "127.0.0.1"


@contextmanager
def loopback_server(log: Path) -> Iterator[str | None]:
    """Start a server on a free port and yield its API's address; None, with one line said, when it does not come up."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = str(probe.getsockname()[1])
    url = f"http://{LOOPBACK}:{port}/api"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", port)
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PREFECT_SERVER_API_PORT": port, "PREFECT_API_URL": url},
            start_new_session=True,
        )
    try:
        if _healthy(server, url):
            print(f"Prefect server: {url.removesuffix('/api')} (until this command ends)", file=sys.stderr)
            yield url
        else:
            print(f"Prefect server: it did not come up, see {log}; going on without one", file=sys.stderr)
            yield None
    finally:
        _stop(server)


def _healthy(server: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
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
    """Exit code of the command; a server that runs already, named by PREFECT_API_URL, is used and left alone."""
    named = os.environ.get("PREFECT_API_URL")
    if named and answers(named):
        return subprocess.run(command, check=False).returncode
    home = Path(os.environ.get("PREFECT_HOME", ".robustdd/prefect"))
    with loopback_server(home / "server.log") as url:
        environment = {**os.environ, "PREFECT_API_URL": url} if url else os.environ
        try:
            return subprocess.run(command, check=False, env=environment).returncode
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
