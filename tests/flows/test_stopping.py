"""What a process that is asked to stop does with its stages: those at work, and those that are not begun."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import stopping
from flows.reproduce import Progress, run_all
from flows.stopping import Terminated, ask_all, asked, exit_code, stoppable
from tasks.cache.cache import Outcome
from tasks.watch.stopping import Stop, Stopped


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that nobody asked anything, and no timers."""
    monkeypatch.setattr(stopping, "_this", stopping._Process())
    monkeypatch.setattr(stopping, "_later", lambda *_: None)
    yield


def test_every_stage_is_asked_also_one_that_is_begun_later(tmp_path: Path) -> None:
    first, second = Stop(tmp_path / "first"), Stop(tmp_path / "second")
    with stoppable(first):
        assert first.reason() is None
        ask_all("the operator went home")
        assert first.reason() == asked() == "the operator went home"
        with stoppable(second):
            assert second.reason() == "the operator went home"
    assert first.reason() is None and second.reason() is None, "the wish ends with the stage"


def test_what_a_dead_run_was_asked_does_not_stop_the_next(tmp_path: Path) -> None:
    stop = Stop(tmp_path / "stop")
    stop.ask("cancelled, and then killed")
    with stoppable(stop):
        assert stop.reason() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_asks_and_the_second_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    ended: list[int] = []
    monkeypatch.setattr(stopping, "_end_now", ended.append)
    stop = Stop(tmp_path / "stop")
    with stoppable(stop):
        stopping._heed(number, None)
        assert stop.reason() == f"{signal.Signals(number).name} came" and not ended
        assert exit_code(Stopped("x")) == 128 + number and not stopping.interrupted()
        stopping._heed(signal.SIGHUP, None)
        assert not ended, "a lost terminal is told more than once, and nobody meant the second"
        stopping._heed(signal.SIGTERM, None)
        assert ended[0] == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt), (signal.SIGHUP, Terminated)],
)
def test_what_does_not_stop_by_itself_is_interrupted(tmp_path: Path, number: int, kind: type[BaseException]) -> None:
    with stoppable(Stop(tmp_path / "stop")):
        stopping._heed(number, None)
        stopping._this.overdue = True
        with pytest.raises(kind) as caught:
            stopping._heed(number, None)
    assert isinstance(caught.value, KeyboardInterrupt) and exit_code(caught.value) == 128 + number
    assert stopping.interrupted()


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = {number: signal.getsignal(number) for number in stopping._SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stopping.stop_on_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is stopping._heed
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        stopping.stop_on_signals()
        assert signal.getsignal(signal.SIGHUP) is stopping._heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_where_nothing_is_at_work_a_signal_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        stopping._heed(signal.SIGINT, None)


def test_a_stopped_study_begins_no_other_stage() -> None:
    places = [("images", "a"), ("labels", "a"), ("labels", "b")]
    table = {places[0]: frozenset(), places[1]: frozenset(places[:1]), places[2]: frozenset(places[:1])}
    begun: list[tuple[str, str]] = []

    def run(place: tuple[str, str], _: int) -> list[Outcome]:
        begun.append(place)
        ask_all("SIGTERM came")
        return []

    progress = Progress()
    with pytest.raises(Stopped, match=r"^2 stages are left: SIGTERM came; what is finished is kept$"):
        run_all(table, lambda place: 1, 2, run, progress)
    assert begun == places[:1] and list(progress.done) == places[:1]


def test_a_stage_that_was_stopped_is_told_as_left() -> None:
    def run(place: tuple[str, str], _: int) -> list[Outcome]:
        ask_all("cancelled in the Prefect UI")
        raise Stopped("distilled: stopped after step 7")

    with pytest.raises(Stopped, match=r"^1 stages are left: cancelled in the Prefect UI"):
        run_all({("images", "a"): frozenset()}, lambda place: 1, 1, run, Progress())


def test_one_stage_cancelled_alone_is_a_failure_and_the_others_go_on() -> None:
    places = [("images", "a"), ("images", "b")]

    def run(place: tuple[str, str], _: int) -> list[Outcome]:
        if place == places[0]:
            raise Stopped("train: stopped")
        return []

    progress = Progress()
    run_all(dict.fromkeys(places, frozenset()), lambda place: 1, 1, run, progress)
    assert list(progress.failed) == places[:1] and list(progress.done) == places[1:]
