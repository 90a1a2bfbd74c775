"""Freed memory is kept: counted in pages that the system hands out."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")

CODE = """
import json, resource, sys, threading
import torch
from robustdd.allocator import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "keep" else None
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(64 * 2**18)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def in_a_thread(times):
    found = []
    thread = threading.Thread(target=lambda: found.append(faults(times)))
    thread.start()
    thread.join()
    return found[0]
print(json.dumps({"kept": kept, "first": faults(20), "then": faults(20), "thread": in_a_thread(20)}))
"""


def pages(how: str, **variables: str) -> dict[str, int]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = (sys.executable, "-c", CODE, how)
    done = subprocess.run(command, env={**env, **variables}, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_blocks_are_used_again_by_every_thread() -> None:
    default, kept = pages("leave"), pages("keep")
    assert kept["kept"] and default["kept"] is None
    assert kept["then"] < default["then"] / 10
    assert kept["thread"] < default["thread"] / 2, "a thread has a heap of its own"
    assert kept["first"] < default["first"]


def test_the_users_own_settings_stand() -> None:
    assert pages("keep", MALLOC_ARENA_MAX="2")["kept"] is False
    assert pages("keep", GLIBC_TUNABLES="glibc.malloc.trim_threshold=1000000")["kept"] is False
