"""How readers hear of new events at once: one thread follows the chain for a whole process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from roundsman.errors import Mistake, RoundsmanError, Unready
from roundsman.log import get_logger
from roundsman.store.engine import Ledger
from roundsman.store.events import ENDS, read_events, read_heads
from roundsman.store.records import EventRow
from roundsman.store.sweep import sweep

READERS_MAX = 1000
QUEUE_EVENTS_MAX = 2000
PAGE_EVENTS = 200
LAG_SECONDS_MAX = 10.0
POLL_SECONDS = 0.05
POLL_SECONDS_MAX = 0.5
QUIET_SECONDS = 5.0
SWEEP_SECONDS = 2.0
RETRY_SECONDS = 1.0
STOP_SECONDS_MAX = 5.0

ENDING = "events are not told any more, the process is ending"

Events = list[EventRow]

_log = get_logger(__name__, component="store")


class Tail:
    """Follows a ledger while somebody reads; a process has one of each ledger.

    It looks at the heads of the chains twenty times a second, and twice a second after five quiet
    ones; PostgreSQL tells of a commit by itself, and there looking is the safety net.
    """

    def __init__(
        self,
        ledger: Ledger,
        readers_max: int = READERS_MAX,
        queue_events_max: int = QUEUE_EVENTS_MAX,
        lag_seconds_max: float = LAG_SECONDS_MAX,
    ) -> None:
        self.ledger = ledger
        self.queue_events_max = queue_events_max
        self.lag_seconds_max = lag_seconds_max
        self._readers_max = readers_max
        self._lock = threading.Lock()
        self._readers = 0
        self._live: dict[str, set[Subscription]] = defaultdict(set)
        # The newest event that was handed out, of each org that has a live reader.
        self._reached: dict[str, int] = {}
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._stirred = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy_at = self._swept_at = 0.0
        self._is_deaf = False

    def subscribe(
        self, org: str, run_id: str | None = None, after: int | None = None
    ) -> Subscription:
        """Return the events after event `after`, those of one run until its last one.

        None begins with a run's first event, and with the org's next one. Raises Unready where
        too many read already, Mistake for an event that was never written.
        """
        head = read_heads(self.ledger).get(org, 0)
        if after is not None and after > head:
            raise Mistake(f"event {after} was never written, the newest is {head}", "give less")
        start = after if after is not None else (0 if run_id else head)
        with self._lock:
            if self._closed.is_set():
                raise Unready(ENDING, "try again")
            if self._readers >= self._readers_max:
                raise Unready(
                    f"{self._readers} readers follow the events already",
                    "close some, or set ROUNDSMAN_STREAMS_MAX higher",
                )
            self._readers += 1
        return Subscription(self, org, run_id, start)

    def close(self) -> None:
        """Cut every reader off and stop the thread."""
        self._closed.set()
        self._cut_all(ENDING)
        self._wanted.set()
        self._stirred.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX)

    def join(self, reader: Subscription) -> None:
        """Tell a reader of what comes from now on; it looks itself for what it missed before."""
        head = read_heads(self.ledger).get(reader.org, 0)
        with self._lock:
            if self._closed.is_set():
                raise Unready(ENDING, "try again")
            self._live[reader.org].add(reader)
            self._reached.setdefault(reader.org, head)
            self._busy_at = time.monotonic()
            self._wanted.set()
            self._stirred.set()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="tail", daemon=True)
                self._thread.start()

    def leave(self, reader: Subscription) -> None:
        """Forget a reader; without any other one the thread goes to sleep."""
        with self._lock:
            self._readers -= 1
            self._drop(reader)

    def _drop(self, reader: Subscription) -> None:
        self._live[reader.org].discard(reader)
        if not self._live[reader.org]:
            del self._live[reader.org]
            self._reached.pop(reader.org, None)
        if not self._live and not self._closed.is_set():
            self._wanted.clear()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wanted.wait()
            try:
                self._follow()
            except Unready as error:
                self._note_deaf(error)
                self._closed.wait(RETRY_SECONDS)
            except RoundsmanError as error:
                self._cut_all(error.said)
            except BaseException:
                self._cut_all("the thread that tells of events has failed")
                raise

    def _note_deaf(self, error: Unready) -> None:
        # Nothing is lost: readers wait, and are told by number when the ledger answers again.
        if not self._is_deaf:
            _log.warning(f"events are not told for now: {error.said}")
        self._is_deaf = True

    def _follow(self) -> None:
        with self._ear() as wait:
            while self._wanted.is_set() and not self._closed.is_set():
                if self._look():
                    self._busy_at = time.monotonic()
                self._is_deaf = False
                self._sweep()
                is_quiet = time.monotonic() - self._busy_at > QUIET_SECONDS
                wait(POLL_SECONDS_MAX if is_quiet else POLL_SECONDS)

    @contextmanager
    def _ear(self) -> Generator[Callable[[float], None]]:
        if self.ledger.dialect.name != "postgresql":
            yield self._pause
            return
        with self.ledger.listening() as hear:
            yield lambda _: hear(POLL_SECONDS_MAX)

    def _pause(self, seconds: float) -> None:
        self._stirred.wait(seconds)
        self._stirred.clear()

    def _sweep(self) -> None:
        # Ours may be the only process for days: who else would end a run that is waited for?
        if time.monotonic() - self._swept_at > SWEEP_SECONDS:
            sweep(self.ledger)
            self._swept_at = time.monotonic()

    def _look(self) -> bool:
        """Hand out what was written since the last look; whether there was anything."""
        with self._lock:
            reached = dict(self._reached)
        heads = read_heads(self.ledger)
        late = [org for org, seq in reached.items() if heads.get(org, 0) > seq]
        for org in late:
            after = reached[org]
            while after < heads[org] and not self._closed.is_set():
                events = read_events(self.ledger, org, after, limit=PAGE_EVENTS)
                if not events:
                    break
                self._hand_out(org, events)
                after = events[-1].seq
        return bool(late)

    def _hand_out(self, org: str, events: Events) -> None:
        of_run: dict[str | None, Events] = defaultdict(list)
        for event in events:
            of_run[event.run_id].append(event)
        of_run[None] = events
        with self._lock:
            if org in self._reached:
                self._reached[org] = events[-1].seq
            told = [reader for reader in self._live.get(org, ()) if reader.run_id in of_run]
            for reader in told:
                if not reader.offer(of_run[reader.run_id]):
                    self._drop(reader)
        _wake(told)

    def _cut_all(self, reason: str) -> None:
        with self._lock:
            readers = [reader for live in self._live.values() for reader in live]
            for reader in readers:
                reader.cut(reason)
                self._drop(reader)
        _wake(readers)


class Subscription:
    """One reader's way through the events, in a `for` or an `async for` over lists of them.

    Each event comes once, in order: first from the ledger, then as it is written. Raises Unready
    where the reader is cut off; `last` is then the event after which to go on.
    """

    def __init__(self, tail: Tail, org: str, run_id: str | None, last: int) -> None:
        self.org = org
        self.run_id = run_id
        self.last = last
        self.loop: asyncio.AbstractEventLoop | None = None
        self.heard: threading.Event | asyncio.Event = threading.Event()
        self._tail = tail
        self._waiting: deque[EventRow] = deque()
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._behind_since: float | None = None
        self._has_joined = self._is_level = self._is_overrun = False
        self._is_over = self._has_left = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading; safe to call twice."""
        if not self._has_left:
            self._has_left = self._is_over = True
            self._tail.leave(self)

    def __iter__(self) -> Iterator[Events]:
        heard = self.heard = threading.Event()
        with self:
            while not self._is_over:
                if self._is_level:
                    heard.wait()
                    heard.clear()
                    events = self._take()
                else:
                    events = self._read()
                if events:
                    yield events

    async def __aiter__(self) -> AsyncIterator[Events]:
        self.loop, heard = asyncio.get_running_loop(), asyncio.Event()
        self.heard = heard
        with self:
            while not self._is_over:
                if self._is_level:
                    await heard.wait()
                    heard.clear()
                    events = self._take()
                else:
                    events = await asyncio.to_thread(self._read)
                if events:
                    yield events

    def offer(self, events: Events) -> bool:
        """Put events where the reader will find them; False where it is behind for too long.

        A queue that runs over is emptied, and the reader goes back to the ledger.
        """
        tail, now = self._tail, time.monotonic()
        with self._lock:
            if len(self._waiting) + len(events) <= tail.queue_events_max:
                self._waiting.extend(events)
                return True
            self._waiting.clear()
            self._is_overrun = True
            if self._behind_since is None:
                self._behind_since = now
            if now - self._behind_since < tail.lag_seconds_max:
                return True
        most = f"{tail.queue_events_max} events for {tail.lag_seconds_max:g} seconds"
        self.cut(f"it was behind by more than {most}")
        return False

    def cut(self, reason: str) -> None:
        """End the reading with a reason, without what is still waiting."""
        with self._lock:
            self._reason = reason
            self._waiting.clear()

    def _read(self) -> Events:
        """Catch up from the ledger; what is missed while joining is read once more after it."""
        tail = self._tail
        events = read_events(tail.ledger, self.org, self.last, self.run_id, PAGE_EVENTS)
        if len(events) < PAGE_EVENTS:
            self._is_level = self._has_joined
            if not self._has_joined:
                tail.join(self)
                self._has_joined = True
        return self._passed(events)

    def _take(self) -> Events:
        with self._lock:
            if self._reason is not None:
                raise Unready(
                    f"reading the events of org '{self.org}' was cut off: {self._reason}",
                    f"go on after event {self.last}",
                )
            if self._is_overrun:
                self._is_overrun = self._is_level = False
                self._waiting.clear()
                return []
            self._behind_since = None
            events = [event for event in self._waiting if event.seq > self.last]
            self._waiting.clear()
        return self._passed(events)

    def _passed(self, events: Events) -> Events:
        ends = (at for at, event in enumerate(events) if event.kind in ENDS)
        end = next(ends, None) if self.run_id is not None else None
        if end is not None:
            # What comes later tells of the run's erasure, but nothing of the run.
            events, self._is_over = events[: end + 1], True
        if events:
            self.last = events[-1].seq
        return events


def _wake(readers: list[Subscription]) -> None:
    of_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Event]] = defaultdict(list)
    for reader in readers:
        if reader.loop is not None and isinstance(reader.heard, asyncio.Event):
            of_loop[reader.loop].append(reader.heard)
        else:
            reader.heard.set()
    for loop, heard in of_loop.items():
        # A loop that has ended has no readers any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_set_all, heard)


def _set_all(heard: list[asyncio.Event]) -> None:
    for one in heard:
        one.set()
