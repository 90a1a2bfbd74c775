"""Whether a Prefect server answers."""

from __future__ import annotations

import urllib.error
import urllib.request

TIMEOUT_SECONDS = 2.0


def answers(url: str) -> bool:
    """Whether the API at `url` says within two seconds that it is healthy."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False
