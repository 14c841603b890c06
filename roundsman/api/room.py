"""How many runs of this server go on at once: each of them is a process of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from roundsman.errors import Unready
from roundsman.settings import Settings
from roundsman.started import Started


class Room:
    """Counts the processes that were started here and live; with a worker elsewhere nothing is."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.api_runs_max if settings.execute == "here" else None
        self._lock = threading.Lock()
        self._started: list[Started] = []
        self._starting = 0

    @contextmanager
    def place(self) -> Generator[Callable[[Started], None]]:
        """Hold a place while a process is started; what is yielded keeps it for that process.

        Raises Unready where all are taken, before anything is written.
        """
        with self._lock:
            self._started = [one for one in self._started if one.is_alive]
            taken = len(self._started) + self._starting
            if self._most is not None and taken >= self._most:
                said = f"{taken} runs go on here at once, and more are not begun"
                raise Unready(said, "wait, or raise ROUNDSMAN_API_RUNS_MAX")
            self._starting += 1
        try:
            yield self._keep
        finally:
            with self._lock:
                self._starting -= 1

    def _keep(self, child: Started) -> None:
        with self._lock:
            self._started.append(child)
