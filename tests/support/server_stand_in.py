"""Under `flows.with_server`, a server that is up at once: `python -m tests.support.server_stand_in FOLDER COMMAND`.

It leaves its process id, and what of its environment is Prefect's, in FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from flows import with_server


class Health(BaseHTTPRequestHandler):
    """Says that it is healthy, whatever it is asked; with NEVER_UP in its environment, that it is not."""

    def do_GET(self) -> None:
        self.send_response(503 if "NEVER_UP" in os.environ else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def serve(folder: Path, port: int) -> None:
    known = {name: value for name, value in os.environ.items() if name.startswith(("PREFECT_", "DO_NOT"))}
    (folder / "server.json").write_text(json.dumps({"pid": os.getpid(), **known}))
    HTTPServer(("127.0.0.1", port), Health).serve_forever()


if __name__ == "__main__":
    where, *rest = sys.argv[1:]
    if rest[0] == "--serve":
        serve(Path(where), int(rest[1]))
    with_server.SERVER = (sys.executable, "-m", "tests.support.server_stand_in", where, "--serve")
    sys.exit(with_server.main(rest))
