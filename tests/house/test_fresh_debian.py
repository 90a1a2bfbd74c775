"""The README's two commands on a machine of today: a Debian 13 made for them, which has no compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable

import pytest

from tests.support.needs import COMPILER
from tests.support.pipeline import CODE

TOOLS = ("debootstrap", "setpriv", "unshare")


@pytest.mark.soak
@pytest.mark.timeout(5400)
def test_both_commands_pass_without_a_compiler(record_property: Callable[[str, object], None]) -> None:
    if os.geteuid() or not all(map(shutil.which, TOOLS)) or subprocess.run(("unshare", "--mount", "true")).returncode:
        pytest.skip(f"a root of its own needs root, the right to mount, and {', '.join(TOOLS)}")
    with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as place:
        done = subprocess.run(
            (CODE / ".ci/fresh-debian",),
            env={**os.environ, "TMPDIR": place},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-8000:]
    minutes = re.findall(r"^== make (\w+) passed in (\d+) min", done.stdout, re.MULTILINE)
    counts = re.search(r"^(\d+) passed, (\d+) skipped", done.stdout, re.MULTILINE)
    assert [target for target, _ in minutes] == ["repro", "test"] and counts, done.stdout[-8000:]
    for target, found in minutes:
        record_property(f"minutes of make {target}", int(found))
    record_property("passed", int(counts[1]))
    record_property("skipped", int(counts[2]))
    assert COMPILER in done.stdout, "a machine with a compiler is not what is tried here"
