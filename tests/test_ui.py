"""The UI phones nowhere: every switch is set, the server has taken them, and a browser asks loopback alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.live_server import ask, live_server, ui_environment
from tests.pipeline import CODE

SWITCHES = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_UI_API_URL": "/api",
    "PREFECT_SERVER_API_PORT": "4200",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "robustdd",
}


def test_env_mk_sets_every_switch_and_keeps_the_stores_in_the_checkout(tmp_path: Path) -> None:
    found = ui_environment(tmp_path)
    home = found.pop("PREFECT_HOME")
    assert found.pop("PREFECT_RESULTS_LOCAL_STORAGE_PATH") == f"{home}/results" and home.startswith(str(tmp_path))
    assert found == SWITCHES


def test_make_ui_listens_on_loopback_alone() -> None:
    told = subprocess.run(["make", "-n", "ui"], cwd=CODE, capture_output=True, text=True, check=True).stdout
    assert "prefect server start --host 127.0.0.1 --port 4200" in told


@pytest.mark.enable_socket
def test_a_server_started_with_them_is_healthy_and_has_taken_them(shared: Path) -> None:
    url = live_server(shared / "server")
    assert ask(url, "health") is True
    settings = ask(url, "admin/settings")
    server = settings["server"]
    assert server["analytics_enabled"] is False and server["ephemeral"]["enabled"] is False
    assert server["ui"]["show_promotional_content"] is False and server["ui"]["v2_enabled"] is False
    told: dict[str, Any] = json.loads(urllib.request.urlopen(url.removesuffix("/api") + "/ui-settings").read())
    assert told["api_url"] == "/api", "relative: the browser asks the host and port that it came from"
    assert told["default_ui"] == "v1", "V2 calls amplitude.com from the browser"


OFFLINE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--virtual-time-budget=10000"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
)
"""Without what the browser itself asks its maker for."""


@pytest.mark.soak
@pytest.mark.enable_socket
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("path", ["dashboard", "runs", "artifacts"])
def test_a_browser_asks_loopback_alone(shared: Path, tmp_path: Path, path: str) -> None:
    url, log = live_server(shared / "server").removesuffix("/api"), tmp_path / "net.json"
    files = (f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}", f"--screenshot={tmp_path / 'seen.png'}")
    command = ["chromium", *OFFLINE, *files, f"{url}/{path}"]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    asked = set(re.findall(r'"url":"(?:https?|wss?)://([^/":]+)', log.read_text(errors="replace")))
    own = {host for host in asked if re.search(r"\.(google|googleapis|gvt1)\.com$", host)}
    assert "127.0.0.1" in asked and asked - own == {"127.0.0.1"}, asked
    assert (tmp_path / "seen.png").stat().st_size > 20_000
