"""Which process takes the next run: one that has loaded the engine and waits, if it still fits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from roundsman import catalog
from roundsman.errors import Unready
from roundsman.settings import Settings

# What a waiting process has loaded, or read before it got its order.
CODE = ("roundsman", "flows", "tasks", "blocks")

Stamp = tuple[tuple[str, int, int], ...]


class Waiting(NamedTuple):
    """A process without an order, and what it was started with."""

    child: catalog.Started
    environment: dict[str, str]
    stamp: Stamp


class Spare:
    """Keeps at most one process ready for the next run; each of them carries out a single one.

    It waits on a pipe of ours, so that it ends with us, however we end.
    """

    def __init__(self, settings: Settings) -> None:
        self._is_on = settings.api_spare_children > 0 and settings.execute == "here"
        self._lock = threading.Lock()
        self._waiting: Waiting | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """The process that waits, if one does."""
        with self._lock:
            return self._waiting.child.pid if self._waiting else None

    def start(self, order: catalog.Order, settings: Settings) -> catalog.Started:
        """Have an order carried out, at once where the spare process fits these settings.

        Raises Unready where this machine has no process to give.
        """
        child = self._take(settings)
        if child is not None:
            # One that died while it waited has read nothing of the order.
            with suppress(Unready):
                return catalog.start(order, settings, child)
        try:
            return catalog.start(order, settings)
        except OSError as error:
            raise Unready(f"no process can be started: {error}", "free memory or disk") from error

    def fill(self, settings: Settings) -> None:
        """Have a process wait that fits these settings; the one before it ends if it does not."""
        with self._lock:
            if not self._is_on or self._is_closed or self._fits(settings):
                return
            self._drop()
            environment, stamp = settings.child_environment(), _stamp(settings)
            child = catalog.prepare(settings, "--spare")
            self._waiting = Waiting(child, environment, stamp)

    def close(self) -> None:
        """End the process that waits; runs that were begun go on."""
        with self._lock:
            self._is_closed = True
            self._drop()

    def _take(self, settings: Settings) -> catalog.Started | None:
        with self._lock:
            if not self._fits(settings):
                self._drop()
                return None
            taken, self._waiting = self._waiting, None
            return taken.child if taken else None

    def _fits(self, settings: Settings) -> bool:
        one = self._waiting
        if one is None or not one.child.is_alive:
            return False
        return (one.environment, one.stamp) == (settings.child_environment(), _stamp(settings))

    def _drop(self) -> None:
        if self._waiting is not None:
            self._waiting.child.kill()
            self._waiting.child.end()
            self._waiting = None


def _stamp(settings: Settings) -> Stamp:
    """When each file was changed that a waiting process may have read."""
    return tuple(_stamps(_files(settings)))


def _files(settings: Settings) -> Iterator[Path]:
    yield from (settings.rounds, settings.systems, settings.policy)
    for room in CODE:
        for kind in ("*.py", "*.yaml", "*.json"):
            yield from (catalog.REPOSITORY / room).rglob(kind)


def _stamps(files: Iterator[Path]) -> Iterator[tuple[str, int, int]]:
    for file in files:
        try:
            found = file.stat()
        except OSError:
            continue
        yield str(file), found.st_mtime_ns, found.st_size
