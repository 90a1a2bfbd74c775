"""Worker processes of which each may die alone: its task is tried once more in a new one, the others work on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Any

from flows.worker_process import Worker
from robustdd.errors import RobustddError

log = logging.getLogger("robustdd.run")

ATTEMPTS = 2


class WorkerLost(RobustddError):  # noqa: N818
    """The worker processes of a task died, each time that it was tried."""


class WorkerPool(Executor):
    """Up to `workers` processes, started as they are needed; each says that it is ready before it is given a task.

    One that waits in its `initializer` (for a GPU) so holds no task back. All end with this process, however it ends.
    """

    def __init__(
        self, workers: int, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
    ) -> None:
        self._workers, self._make = workers, partial(Worker, initializer, initargs)
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._alive: set[Worker] = set()
        self._unready: set[Worker] = set()
        self._open = 0
        self._stopped = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn`, which workers must be able to import, called in one of them. RuntimeError after `shutdown`."""
        future: Future[Any] = Future()
        with self._lock:
            if self._stopped:
                raise RuntimeError("the worker processes have ended")
            self._open += 1
            future.add_done_callback(self._settled)
            self._calls.put((future, partial(fn, *args, **kwargs)))
            if len(self._threads) < min(self._workers, self._open):
                self._threads.append(Thread(target=self._serve, name="worker", daemon=True))
                self._threads[-1].start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: when all tasks are done or, with `cancel_futures`, when those that run are."""
        if cancel_futures:
            self._drain(None)
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads if wait else ():
            while thread.is_alive():
                thread.join(0.1)
                if self._open == 0:  # whoever still waits for a GPU will not need it
                    self._kill(self._unready)
        self._stopped = wait or self._stopped

    def kill(self) -> None:
        """End the processes now. A task that runs is lost back to its last checkpoint."""
        self._stopped = True
        self._drain(None)
        self._kill(self._alive)

    def _settled(self, _: Future[Any]) -> None:
        with self._lock:
            self._open -= 1

    def _kill(self, workers: set[Worker]) -> None:
        with self._lock:
            for worker in workers:
                worker.kill()

    def _drain(self, error: BaseException | None) -> None:
        """Take the tasks that nobody has begun: they fail with `error`, or are cancelled."""
        while True:
            try:
                call = self._calls.get_nowait()
            except Empty:
                return
            if call is not None and error is None:
                call[0].cancel()
            elif call is not None and error is not None:
                call[0].set_exception(error)

    def _serve(self) -> None:
        """One thread a process: it hands over tasks and waits for what becomes of them."""
        worker: Worker | None = None
        try:
            while not self._stopped:
                worker = worker or self._ready()
                call = self._calls.get()
                if call is None:
                    return
                if call[0].set_running_or_notify_cancel():
                    worker = self._run(worker, *call)
        except WorkerLost as error:
            with self._lock:
                self._threads = [thread for thread in self._threads if thread is not current_thread()]
                last = not self._threads
            if last:
                self._drain(error)
        finally:
            if worker is not None:
                self._gone(worker)
                worker.close()

    def _ready(self) -> Worker:
        """A new process that has said that it is ready. Raises WorkerLost."""
        worker = self._make()
        with self._lock:
            self._alive.add(worker)
            self._unready.add(worker)
            if self._stopped:
                worker.kill()
        try:
            worker.said()
        except (EOFError, OSError):
            self._gone(worker)
            raise WorkerLost(f"a worker process did not start ({worker.death()})") from None
        with self._lock:
            self._unready.discard(worker)
        return worker

    def _gone(self, worker: Worker) -> None:
        with self._lock:
            self._alive.discard(worker)
            self._unready.discard(worker)

    def _run(self, worker: Worker, future: Future[Any], work: Callable[[], Any]) -> Worker | None:
        """Have the work done and say so in `future`; returns the process for the next, None without one."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                done, value = worker.ask(work)
            except (EOFError, OSError):
                self._gone(worker)
                death = worker.death()
                if attempt == ATTEMPTS or self._stopped:
                    break
                log.warning("a worker process died (%s); its task is tried once more", death)
                try:
                    worker = self._ready()
                except WorkerLost as error:
                    death = str(error)
                    break
            except Exception as error:  # what does not travel through a pipe
                future.set_exception(error)
                return worker
            else:
                (future.set_result if done else future.set_exception)(value)
                return worker
        future.set_exception(WorkerLost(death))
        return None
