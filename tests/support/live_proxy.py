"""A server that can be lost: passes bytes on until its mode file says `dead` or `hang`."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path


def mode(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return "pass"


def pump(source: socket.socket, sink: socket.socket, path: Path) -> None:
    while True:
        try:
            data = source.recv(65536)
        except OSError:
            return
        while mode(path) == "hang":
            time.sleep(0.1)
        if not data:
            sink.close()
            return
        try:
            sink.sendall(data)
        except OSError:
            return


def main() -> None:
    port_file, upstream, path = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    listener = socket.create_server(("127.0.0.1", 0))
    port_file.with_suffix(".new").write_text(str(listener.getsockname()[1]))
    port_file.with_suffix(".new").rename(port_file)

    def die() -> None:
        while mode(path) != "dead":
            time.sleep(0.05)
        os._exit(0)  # closes every connection, as a kill does

    threading.Thread(target=die, daemon=True).start()
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", upstream))
        for pair in ((client, server), (server, client)):
            threading.Thread(target=pump, args=(*pair, path), daemon=True).start()


if __name__ == "__main__":
    main()
