"""A reader hears of every event once and in order, whoever writes it and however it reads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from roundsman.errors import Mistake, Unready
from roundsman.store import Ledger, open_ledger, runs
from roundsman.store.erasure import erase_run
from roundsman.store.events import read_end, read_events, read_heads
from roundsman.store.records import Note
from roundsman.store.tail import PAGE_EVENTS, Subscription, Tail
from tests.ledgers import lay_database
from tests.servers.postgresql import Postgresql
from tests.store.words import (
    ORG,
    Home,
    begin,
    change,
    child,
    eventually,
    finish,
    queue,
    rows,
    said,
    step,
    whole_run,
)


@pytest.fixture
def tail(ledger: Ledger) -> Iterator[Tail]:
    tail = Tail(ledger)
    yield tail
    tail.close()


@pytest.fixture
def on_postgresql(postgresql: Postgresql, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on the engine that tells of commits by itself."""
    url = lay_database(postgresql)
    ledger = open_ledger(url, tmp_path / "chain.key")
    yield ledger
    ledger.close()
    postgresql.drop_database(url)


def read_until(reader: Subscription, last: int, seen: list[int]) -> None:
    """Read on until event `last`, noting the number of each."""
    for events in reader:
        seen += [event.seq for event in events]
        if seen[-1] >= last:
            return


class Reading:
    """A thread that reads until it is cut off or its run ends."""

    def __init__(self, reader: Subscription) -> None:
        self.reader = reader
        self.seqs: list[int] = []
        self.error: Unready | None = None
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            for events in self.reader:
                self.seqs += [event.seq for event in events]
        except Unready as error:
            self.error = error

    def ended(self) -> bool:
        return not self.thread.is_alive()


def many(ledger: Ledger, run_id: str, count: int) -> None:
    for number in range(count):
        runs.note(ledger, ORG, run_id, 1, Note(kind="gap", payload={"n": number}))


def test_events_of_another_process_are_heard(home: Home, ledger: Ledger, tail: Tail) -> None:
    reading = Reading(tail.subscribe(ORG))
    code = (
        "from tests.store.words import whole_run\n"
        "whole_run(open_ledger(url, key, anchors), 2)\n"
        "print(json.dumps('done'))"
    )
    assert said(child(home, code)) == "done"
    eventually(lambda: len(reading.seqs) == 7)
    assert reading.seqs == list(range(1, 8))


def test_none_is_lost_or_twice_where_the_replay_meets_what_is_written(
    ledger: Ledger, tail: Tail
) -> None:
    run_id = begin(ledger)
    many(ledger, run_id, PAGE_EVENTS)
    writing = threading.Thread(target=many, args=(ledger, run_id, 300))
    writing.start()
    readings: list[Reading] = []
    while writing.is_alive():
        readings.append(Reading(tail.subscribe(ORG, after=0)))
        readings.append(Reading(tail.subscribe(ORG, run_id)))
        writing.join(0.05)
    last = read_heads(ledger)[ORG]
    assert len(readings) > 4
    eventually(lambda: all(reading.seqs[-1:] == [last] for reading in readings))
    assert all(reading.seqs == list(range(1, last + 1)) for reading in readings)


def test_a_reader_of_all_runs_begins_with_the_next_event(ledger: Ledger, tail: Tail) -> None:
    whole_run(ledger)
    reading = Reading(tail.subscribe(ORG))
    queue(ledger)
    eventually(lambda: reading.seqs == [8])


def test_a_reader_of_a_run_gets_all_of_it_and_nothing_else(ledger: Ledger, tail: Tail) -> None:
    run_id = begin(ledger)
    reading = Reading(tail.subscribe(ORG, run_id))
    eventually(lambda: reading.seqs == [1, 2])
    other = begin(ledger)
    step(ledger, run_id, 0)
    finish(ledger, other)
    finish(ledger, run_id)
    eventually(reading.ended)
    assert reading.seqs == [1, 2, 5, 6, 8]
    assert reading.error is None
    assert read_end(ledger, ORG, run_id) == 8


def test_an_erased_run_ends_where_it_ended(ledger: Ledger, tail: Tail) -> None:
    run_id = whole_run(ledger, 0)
    erase_run(ledger, ORG, run_id, "ada", "why")
    kinds = [event.kind for events in tail.subscribe(ORG, run_id) for event in events]
    assert kinds == ["run_queued", "run_started", "run_finished"]
    assert read_end(ledger, ORG, run_id) == 3


def test_a_run_whose_process_died_ends_though_nobody_opens_the_ledger(
    home: Home, ledger: Ledger, tail: Tail
) -> None:
    code = (
        "from tests.store.words import begin\n"
        "print(json.dumps(begin(open_ledger(url, key, anchors))))"
    )
    run_id = said(child(home, code))
    events = [event for events in tail.subscribe(ORG, run_id) for event in events]
    assert events[-1].kind == "run_failed"
    assert (events[-1].payload or {})["status"] == "crashed"


def test_each_org_hears_its_own(ledger: Ledger, tail: Tail) -> None:
    ours, theirs = Reading(tail.subscribe(ORG)), Reading(tail.subscribe("other"))
    queue(ledger)
    queue(ledger, "other")
    queue(ledger)
    eventually(lambda: (len(ours.seqs), len(theirs.seqs)) == (2, 1))
    assert (ours.seqs, theirs.seqs) == ([1, 2], [1])


def test_a_slow_reader_is_cut_off_with_a_reason_and_hinders_nobody(ledger: Ledger) -> None:
    tail = Tail(ledger, queue_events_max=20, lag_seconds_max=0)
    slow = tail.subscribe(ORG)
    batches = iter(slow)
    run_id = begin(ledger)
    assert next(batches)[-1].seq == 2
    # Still reading from the ledger, nothing waits for it; from here on it is told.
    many(ledger, run_id, 1)
    assert next(batches)[-1].seq == 3
    quick = Reading(tail.subscribe(ORG, after=0))
    for _ in range(4):
        many(ledger, run_id, 15)
        eventually(lambda: quick.seqs[-1:] == [read_heads(ledger)[ORG]])
    assert quick.seqs == list(range(1, 64))
    at = slow.last
    with pytest.raises(Unready, match="it was behind by more than 20 events for 0 seconds") as cut:
        list(batches)
    assert cut.value.remedy == f"go on after event {at}"
    again: list[int] = []
    read_until(tail.subscribe(ORG, after=at), 63, again)
    assert again == list(range(at + 1, 64))
    tail.close()


def test_a_reader_that_is_overrun_by_a_burst_finds_all_of_it_in_the_ledger(
    ledger: Ledger,
) -> None:
    tail = Tail(ledger, queue_events_max=3)
    run_id = begin(ledger)
    reading = Reading(tail.subscribe(ORG, run_id))
    many(ledger, run_id, 150)
    finish(ledger, run_id)
    eventually(reading.ended)
    assert (reading.error, reading.seqs) == (None, list(range(1, 154)))
    tail.close()


def test_there_is_a_bound_on_readers_and_a_place_is_free_again(ledger: Ledger) -> None:
    tail = Tail(ledger, readers_max=2)
    first, _ = tail.subscribe(ORG), tail.subscribe(ORG)
    with pytest.raises(Unready, match="2 readers follow the events already; .*STREAMS_MAX"):
        tail.subscribe(ORG)
    first.close()
    first.close()
    tail.subscribe(ORG)
    with pytest.raises(Unready, match="already"):
        tail.subscribe(ORG)
    tail.close()


def test_an_event_that_was_never_written_is_no_place_to_go_on(ledger: Ledger, tail: Tail) -> None:
    queue(ledger)
    tail.subscribe(ORG, after=1).close()
    with pytest.raises(Mistake, match="event 2 was never written, the newest is 1"):
        tail.subscribe(ORG, after=2)


def test_closing_ends_every_reader_with_a_sentence(ledger: Ledger) -> None:
    tail = Tail(ledger)
    reading, late = Reading(tail.subscribe(ORG)), tail.subscribe(ORG)
    queue(ledger)
    eventually(lambda: reading.seqs == [1])
    began = time.monotonic()
    tail.close()
    eventually(reading.ended)
    assert time.monotonic() - began < 5
    assert "the process is ending" in str(reading.error)
    with pytest.raises(Unready, match="the process is ending"):
        list(late)
    with pytest.raises(Unready, match="the process is ending"):
        tail.subscribe(ORG)


def test_readers_of_several_loops_and_threads_hear_the_same(ledger: Ledger, tail: Tail) -> None:
    run_id = begin(ledger)
    heard: list[list[int]] = []

    async def read() -> list[int]:
        return [event.seq async for events in tail.subscribe(ORG, run_id) for event in events]

    async def read_thrice() -> None:
        heard.extend(await asyncio.gather(read(), read(), read()))

    loops = [threading.Thread(target=asyncio.run, args=(read_thrice(),)) for _ in range(2)]
    for loop in loops:
        loop.start()
    reading = Reading(tail.subscribe(ORG, run_id))
    many(ledger, run_id, 20)
    finish(ledger, run_id)
    for loop in loops:
        loop.join(30)
    eventually(reading.ended)
    assert heard == [list(range(1, 24))] * 6
    assert reading.seqs == heard[0]


def test_a_reader_that_is_cancelled_gives_its_place_back(ledger: Ledger) -> None:
    tail = Tail(ledger, readers_max=1)

    async def read(reader: Subscription) -> None:
        async for _ in reader:
            pass

    async def cancel() -> None:
        task = asyncio.create_task(read(tail.subscribe(ORG)))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    tail.subscribe(ORG).close()
    tail.close()


def test_a_ledger_that_refuses_is_told_and_nothing_is_lost_by_it(
    ledger: Ledger, tail: Tail
) -> None:
    reading = Reading(tail.subscribe(ORG))
    queue(ledger)
    eventually(lambda: reading.seqs == [1])
    change(ledger, "ALTER TABLE chain_heads RENAME TO hidden")
    eventually(reading.ended)
    change(ledger, "ALTER TABLE hidden RENAME TO chain_heads")
    assert "no such table" in str(reading.error) or "does not exist" in str(reading.error)
    again = Reading(tail.subscribe(ORG, after=1))
    queue(ledger)
    eventually(lambda: again.seqs == [2])


@pytest.mark.needs("postgresql")
def test_postgresql_tells_of_a_commit_and_a_lost_session_is_found_again(
    on_postgresql: Ledger,
) -> None:
    ledger = on_postgresql
    tail = Tail(ledger)
    reading = Reading(tail.subscribe(ORG))
    listeners = "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN roundsman_events'"
    eventually(lambda: len(rows(ledger, listeners)) == 1)
    queue(ledger)
    eventually(lambda: reading.seqs == [1])
    (first,) = rows(ledger, listeners)
    rows(ledger, f"SELECT pg_terminate_backend({first[0]})")
    queue(ledger)
    eventually(lambda: reading.seqs == [1, 2])
    eventually(lambda: rows(ledger, listeners) not in ([], [first]))
    reading.reader.close()
    queue(ledger)
    eventually(lambda: rows(ledger, listeners) == [])
    tail.close()


@pytest.mark.needs("postgresql")
def test_on_postgresql_a_waiting_session_hears_at_the_commit(
    on_postgresql: Ledger,
) -> None:
    ledger = on_postgresql
    with ledger.listening() as hear:
        queue(ledger)
        began = time.monotonic()
        hear(60)
    assert time.monotonic() - began < 30
    assert [event.seq for event in read_events(ledger, ORG)] == [1]
