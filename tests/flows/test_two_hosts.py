"""Two hosts and a wire between them, as network namespaces: a Dask cluster over both makes the same bits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.flows.test_runners_killed import TEACHERS, flags, trained, untrained
from tests.support.pipeline import bits, environment
from tests.support.stage_processes import alive, both_at_work, until
from tests.support.studies import PLAIN

__all__ = ["trained", "untrained"]

HOSTS = {"a": "10.77.0.1", "b": "10.77.0.2"}
SCHEDULER = f"tcp://{HOSTS['a']}:8786"


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """The names of two namespaces that reach each other and nothing else."""
    if shutil.which("ip") is None or os.getuid() != 0:
        pytest.skip("two hosts need root and iproute2")
    names = {host: f"robustdd-{os.getpid()}-{host}" for host in HOSTS}
    with ExitStack() as made:
        try:
            for name in names.values():
                ip("netns", "add", name)
                made.callback(ip, "netns", "del", name)
            pair = [("wire", "netns", names[host]) for host in HOSTS]
            ip("link", "add", *pair[0], "type", "veth", "peer", "name", *pair[1])
            for host, name in names.items():
                ip("-n", name, "address", "add", f"{HOSTS[host]}/24", "dev", "wire")
                for link in ("lo", "wire"):
                    ip("-n", name, "link", "set", link, "up")
        except subprocess.CalledProcessError as refused:
            pytest.skip(f"no network namespaces here: {refused.stderr.strip()}")
        yield names


@pytest.mark.soak
def test_a_cluster_over_two_hosts_makes_the_same_bits(
    hosts: dict[str, str], untrained: Path, trained: Path, tmp_path: Path
) -> None:
    """A worker takes one task at a time: where both teachers are at work, each host has one."""
    env, log = environment(tmp_path / "home"), (tmp_path / "dask.log").open("w")
    on = {host: ["ip", "netns", "exec", name, sys.executable, "-m"] for host, name in hosts.items()}
    told = tmp_path / "dask.log"
    with log, ExitStack() as running:
        line = ["dask", "scheduler", "--host", HOSTS["a"], "--port", "8786", "--no-dashboard"]
        running.enter_context(alive([*on["a"], *line], env, log))
        until(lambda: "Scheduler at:" in told.read_text())
        for host, address in HOSTS.items():
            line = ["dask", "worker", SCHEDULER, "--host", address, "--nthreads", "1", "--no-dashboard"]
            running.enter_context(alive([*on[host], *line], env, log))
        until(lambda: all(told.read_text().count(f"Register worker addr: tcp://{one}:") == 1 for one in HOSTS.values()))
        command = [*on["a"], "flows.stage", *flags("dask"), "--address", SCHEDULER]
        stage = subprocess.Popen(command, cwd=untrained, env=env, stderr=subprocess.PIPE, text=True)
        running.callback(stage.kill)
        until(lambda: both_at_work(untrained)() or stage.poll() is not None)
        assert stage.poll() is None, stage.communicate()[1]
        _, said = stage.communicate(timeout=240)
    assert stage.returncode == 0 and f"teachers {PLAIN}: 2 executed, 0 cached" in said, said
    assert bits(untrained, TEACHERS) == bits(trained, TEACHERS)
