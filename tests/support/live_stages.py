"""Stages in one process, for a test that has a server: `python -m tests.support.live_stages FOLDER STAGE:ID ...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flows.stage import run_stage
from flows.terminal import terminal


def main() -> None:
    folder, counts = Path(sys.argv[1]), {}
    for place in sys.argv[2:]:
        stage, _, ident = place.partition(":")
        with terminal():
            outcomes = run_stage(stage, ident, folder)
        counts[place] = [[one.unit, one.cached] for one in outcomes]
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main()
