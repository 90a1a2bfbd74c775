"""How far a unit is: lines, rates, bars in a terminal, GPU figures, and the wish to stop."""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from robustdd.progress import Progress
from tasks.watch.gpu import Gauge, gauge, gauged
from tasks.watch.progress import Reporter, Told, WatchedCheckpoints
from tasks.watch.stopping import Stop, Stopped
from tests.support.pipeline import CODE, environment


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_long_task_says_every_few_seconds_how_fast_it_is_and_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    report = Reporter("distilled", clock=clock)
    with caplog.at_level(logging.INFO, "robustdd.run"):
        for step in range(1, 101):
            clock.now = step * 0.5
            report(Progress(step, 100, {"loss": 0.123456}))
    assert len(caplog.messages) == 10
    assert caplog.messages[0] == "distilled: 10 of 100, loss 0.1235, 2 steps/s, 45 s left"
    assert caplog.messages[-1] == "distilled: 100 of 100, loss 0.1235, 2 steps/s"


def test_a_slow_task_is_told_by_the_step(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    report = Reporter("teacher-000", clock=clock)
    with caplog.at_level(logging.INFO, "robustdd.run"):
        for step in (1, 2, 3):
            clock.now += 90
            report(Progress(step, 100))
    assert caplog.messages == [
        "teacher-000: 2 of 100, 1 min 30 s a step, 2 h 27 min left",
        "teacher-000: 3 of 100, 1 min 30 s a step, 2 h 25 min left",
    ]


def test_who_watches_is_told_every_step_and_shown_its_tensors() -> None:
    seen: list[tuple[int, float]] = []
    report = Reporter("x", watcher=lambda told, tensors: seen.append((told.step, float(tensors["images"]))))
    for step in (1, 2):
        report(Progress(step, 2, tensors={"images": torch.tensor(step / 2)}))
    assert seen == [(1, 0.5), (2, 1.0)]


def test_a_resumed_unit_says_from_where_and_its_rate_counts_what_it_did_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    with caplog.at_level(logging.INFO, "robustdd.run"):
        first = WatchedCheckpoints(tmp_path, {}, Reporter("distilled", clock=clock))
        assert first.latest() is None and caplog.messages == []
        first.save(40, {"x": torch.zeros(1)}, {})
        report = Reporter("distilled", clock=clock)
        saved = WatchedCheckpoints(tmp_path, {}, report).latest()
        assert saved is not None and saved.step == 40
        clock.now = 10.0
        report(Progress(60, 100))
    assert caplog.messages == [
        "distilled: goes on from step 40, where an earlier run was cut off",
        "distilled: 60 of 100, 2 steps/s, 20 s left",
    ]


def test_a_wish_to_stop_saves_at_the_next_step_and_ends_the_unit(tmp_path: Path) -> None:
    stop = Stop(tmp_path / "stop" / "distill-x")
    report = Reporter("distilled", stop)
    checkpoints = WatchedCheckpoints(tmp_path / "checkpoints", {}, report)
    checkpoints.latest()
    assert not checkpoints.due(3, 5) and checkpoints.due(5, 5)
    checkpoints.save(5, {"x": torch.ones(1)}, {})
    stop.ask("somebody said so")
    stop.ask("another reason")
    time.sleep(0.6)
    report(Progress(6, 100))  # not here: what it has is not saved yet
    assert checkpoints.due(7, 5)
    with pytest.raises(Stopped, match=r"^distilled: stopped after step 7, which is saved; .*: somebody said so$"):
        checkpoints.save(7, {"x": torch.ones(1)}, {})
    saved = checkpoints.latest()
    assert saved is not None and saved.step == 7
    stop.clear()
    assert stop.reason() is None and Stopped.exit_code == 130


def test_a_unit_without_checkpoints_stops_where_it_is(tmp_path: Path) -> None:
    stop = Stop(tmp_path / "stop")
    stop.ask("SIGTERM came")
    with pytest.raises(Stopped, match=r"^seed-0: stopped at step 3 of 9, which is not kept: SIGTERM came$"):
        Reporter("seed-0", stop)(Progress(3, 9))


BARS = """
import logging, time
from flows.terminal import terminal
from robustdd.progress import Progress
from tasks.watch import progress as reporting
reporting.BAR_SECONDS = reporting.LINE_SECONDS = 0.0
with terminal():
    logging.getLogger("robustdd.run").info("a line above")
    reports = [reporting.Reporter(name) for name in ("teacher-000", "teacher-001")]
    for step in range(1, 6):
        for report in reports:
            report(Progress(step, 8, {"loss": 1.0}))
    time.sleep(0.7)  # the terminal is drawn four times a second
    logging.getLogger("robustdd.run").info("a [line] below")
    for report in reports:
        report.close()
"""


def shown(terminal: bool, home: Path) -> str:
    command, env = [sys.executable, "-c", BARS], environment(home, TERM="xterm", COLUMNS="100")
    if not terminal:
        return subprocess.run(command, cwd=CODE, env=env, capture_output=True, text=True, check=True).stderr
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=CODE, env=env, stderr=theirs) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the terminal is closed
                break
            parts.append(part)
        os.close(ours)
    assert process.returncode == 0
    return b"".join(parts).decode()


def test_a_terminal_gets_one_bar_a_running_unit_and_its_lines_above(tmp_path: Path) -> None:
    text = shown(True, tmp_path)
    assert "a line above" in text and "a [line] below" in text
    assert "━" in text and "5/8" in text and "loss 1" in text and "left" in text
    assert "teacher-000" in text and "teacher-001" in text and " 5 of 8" not in text
    assert text.endswith("\x1b[?25h") or text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is back"


def test_elsewhere_the_same_is_plain_lines(tmp_path: Path) -> None:
    lines = shown(False, tmp_path).splitlines()
    assert lines[0] == "a line above" and lines[-1] == "a [line] below" and "\x1b" not in "".join(lines)
    assert len([line for line in lines if line.startswith("teacher-001: 5 of 8, loss 1, ")]) == 1


SMI = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
echo "NVIDIA H100 80GB HBM3, 12345, 81559, 97"
"""


class Properties:
    uuid = "11111111-2222-3333-4444-555555555555"


def test_a_gpu_is_looked_at_by_its_uuid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(SMI)
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties())
    found = gauge(torch.device("cuda", 1))
    assert found == Gauge("NVIDIA H100 80GB HBM3", 12345, 81559, 97)
    assert str(found) == "NVIDIA H100 80GB HBM3: 12.1 of 79.6 GiB in use, 97 % busy"
    assert f"--id=GPU-{Properties.uuid}" in (tmp_path / "asked").read_text()
    smi.write_text("#!/bin/sh\necho '[N/A], [N/A], [N/A], [N/A]'\n")
    assert gauge(torch.device("cuda", 1)) is None
    smi.write_text("#!/bin/sh\nexit 9\n")
    assert gauge(torch.device("cuda", 1)) is None


def test_the_gpu_is_logged_while_a_unit_runs_and_a_cpu_is_not(caplog: pytest.LogCaptureFixture) -> None:
    looks = [Gauge("H100", 1024, 2048, 50), Gauge("H100", 1536, 2048, 99), None]
    with caplog.at_level(logging.INFO, "robustdd.run"):
        with gauged("teacher-000", torch.device("cpu"), lambda device: looks[0], 0.01):
            time.sleep(0.05)
        assert caplog.messages == []
        with gauged("teacher-000", torch.device("cuda"), lambda device: looks.pop(0), 0.01):
            time.sleep(0.3)
    assert caplog.messages == [
        "teacher-000: H100: 1.0 of 2.0 GiB in use, 50 % busy",
        "teacher-000: H100: 1.5 of 2.0 GiB in use, 99 % busy",
    ]


def test_what_is_told_has_no_rate_before_there_is_one() -> None:
    assert Told("x", 1, 2, {}).words() == ""
    assert Told("x", 1, 2, {"loss": 2.0}, None, None).words() == "loss 2"
