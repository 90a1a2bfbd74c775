"""What is asked of Ray, with a stand-in for it: `tests/test_runners*.py` have Ray itself, where it is installed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from flows import ray_cluster
from flows.ray_cluster import ALWAYS, ON_LOOPBACK, ray_executor, ray_module, task_options
from robustdd.errors import UserError

NAMES = (*ALWAYS, *ON_LOOPBACK, "RAY_AUTH_TOKEN")


class Wrapped(Exception):  # noqa: N818
    """As Ray wraps what a task raised."""

    cause = UserError("cells: expected a cell")


class StandIn:
    """Starts and ends, takes SIGTERM for itself, and runs what it is given at once."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.options: dict[str, Any] = {}

    def init(self, **options: Any) -> None:
        self.calls.append("init")
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "GPU": 2.0}

    def remote(self, fn: Any) -> Any:
        def run(*arguments: Any) -> Any:
            future: Future[Any] = Future()
            try:
                future.set_result(fn(*arguments))
            except ValueError:
                future.set_exception(Wrapped("Traceback of many lines"))
            return SimpleNamespace(future=lambda: future)

        def options(**named: Any) -> Any:
            self.options = named
            return SimpleNamespace(remote=run)

        return SimpleNamespace(options=options)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    for name in NAMES:
        monkeypatch.setenv(name, "to be put back as it was")
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "ray", stand_in := StandIn())  # type: ignore[misc]
    return stand_in


def test_a_ray_of_its_own_is_reached_from_this_machine_alone(ray: StandIn) -> None:
    ray_module("10.0.0.1:6379")
    assert {name: os.environ.get(name) for name in NAMES} == {**dict.fromkeys(NAMES), **ALWAYS}
    ray_module(None)
    assert {**ALWAYS, **ON_LOOPBACK}.items() <= dict(os.environ).items() and len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_a_task_asks_for_a_gpu_where_there_is_one_and_it_is_to_have_one(ray: StandIn) -> None:
    assert task_options(ray, True) == {"num_cpus": 1, "max_retries": 1, "num_gpus": 1}
    assert task_options(ray, False) == {"num_cpus": 1, "max_retries": 1}


def test_stages_that_run_at_once_share_one_ray_and_keep_the_handler_of_sigterm(ray: StandIn) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ray_executor(2, None, True) as first, ray_executor(1, None, False):
            assert ray.calls == ["init"] and signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            assert first.submit(int, "7").result() == 7 and ray.options["num_cpus"] == 1
            assert ray.options == {"num_cpus": 1, "max_retries": 1, "num_gpus": 1}
            with pytest.raises(UserError, match=r"^cells: expected a cell$"):
                first.submit(int, "seven").result()
        assert ray.calls == ["init", "shutdown"] and ray_cluster._users == 0
        with ray_executor(1, None, False):
            assert ray.calls == ["init", "shutdown", "init"]
    finally:
        signal.signal(signal.SIGTERM, before)
