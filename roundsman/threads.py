"""A bounded number of threads that never keep a process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Pool:
    """Runs functions in at most `size` daemon threads, in the order in which they were given.

    The standard pool joins its threads at exit: one call that hangs until its client's time-out
    would hold back a process whose run was closed long ago.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)
        self._growing = threading.Lock()
        self._working = 0

    @property
    def is_busy(self) -> bool:
        """Whether a function is being run at this moment."""
        return self._working > 0

    def submit(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have it done in a thread; the future can be cancelled until it begins."""
        future: Future[R] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                _fulfil(future, lambda: act(*args, **kwargs))

        self._waiting.put(work)
        self._grow()
        return future

    def _grow(self) -> None:
        with self._growing:
            if self._idle.acquire(blocking=False) or len(self._threads) >= self._size:
                return
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        while True:
            work = self._waiting.get()
            with self._growing:
                self._working += 1
            work()
            del work
            with self._growing:
                self._working -= 1
            self._idle.release()


@contextmanager
def unless_within(seconds: float, act: Callable[[], object]) -> Generator[None]:
    """Do it, in a thread, if what happens inside takes longer."""
    watch = threading.Timer(seconds, act)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def caught(act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """Do it here and now; what it raised, if anything, is in the future."""
    future: Future[R] = Future()
    _fulfil(future, lambda: act(*args, **kwargs))
    return future


def _fulfil(future: Future[Any], act: Callable[[], Any]) -> None:
    try:
        result = act()
    except BaseException as error:  # noqa: BLE001 whoever waits for the future gets it
        future.set_exception(error)
    else:
        future.set_result(result)
