"""The UI phones nowhere: every switch is set, the server has taken them, and a browser asks loopback alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.live_server import ask, live_server, ui_environment
from tests.support.pipeline import CODE

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


FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--virtual-time-budget=10000"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
)
NOBODY = "not an origin"
"""Who asked, in the browser's log, where it was no page."""
BROWSER = pytest.mark.skipif(shutil.which("chromium") is None, reason="the network log of a page needs chromium")


def asked_by_browser(folder: Path, page: str) -> dict[str, set[str]]:
    """The hosts that a fresh browser asked while it showed a page, by who asked: an origin, or the browser itself."""
    folder.mkdir()
    log, files = folder / "net.json", (f"--user-data-dir={folder / 'profile'}", f"--screenshot={folder / 'seen.png'}")
    command = ["chromium", *FLAGS, *files, f"--log-net-log={log}", page]
    subprocess.run(command, capture_output=True, timeout=300, check=True)
    found: dict[str, set[str]] = {}
    for event in json.loads(log.read_text(errors="replace"))["events"]:
        asked = event.get("params", {})
        if isinstance(asked, dict) and "initiator" in asked and "url" in asked:
            host = urlsplit(asked["url"]).hostname
            found.setdefault(asked["initiator"], set()).add(host or asked["url"])
    return found


@pytest.mark.soak
@pytest.mark.enable_socket
@BROWSER
def test_a_page_of_the_ui_adds_loopback_alone_to_what_the_browser_asks(shared: Path, tmp_path: Path) -> None:
    """A browser asks its maker by itself, on an empty page as well; no page of the UI asks any host but its own."""
    url = live_server(shared / "server").removesuffix("/api")
    empty = asked_by_browser(tmp_path / "empty", "about:blank")
    assert set(empty) <= {NOBODY} and "127.0.0.1" not in empty.get(NOBODY, set())
    for path in ("dashboard", "runs", "artifacts"):
        asked = asked_by_browser(tmp_path / path, f"{url}/{path}")
        by_browser = asked.pop(NOBODY)
        assert asked == {url: {"127.0.0.1"}}, asked
        own = {host for host in by_browser if re.search(r"\.(google|googleapis|gvt1)\.com$", host)}
        assert by_browser - own - empty.get(NOBODY, set()) == {"127.0.0.1"}, by_browser
        assert (tmp_path / path / "seen.png").stat().st_size > 20_000, "the page was drawn"


@pytest.mark.soak
@BROWSER
def test_the_log_names_a_host_that_a_page_asks(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<img src="http://elsewhere.invalid/pixel.png">')
    asked = asked_by_browser(tmp_path / "browser", page.as_uri())
    asked.pop(NOBODY, None)
    assert {host for hosts in asked.values() for host in hosts} == {"elsewhere.invalid"}
