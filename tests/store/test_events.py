"""The chain grows by one event at a time, whoever writes, and a reader misses none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from roundsman.errors import Mistake
from roundsman.store import Ledger, runs
from roundsman.store.chain import canonical
from roundsman.store.erasure import erase_run
from roundsman.store.events import append, read_events
from roundsman.store.records import Event, Note
from roundsman.store.verify import verify
from tests.store.words import ORG, Home, begin, child, queue, rows, said, whole_run


def test_numbers_are_gapless_though_many_write_at_once(home: Home, ledger: Ledger) -> None:
    code = (
        "from tests.store.words import whole_run\n"
        "ledger = open_ledger(url, key, anchors)\n"
        "for _ in range(5): whole_run(ledger, 2)\n"
        "print(json.dumps('done'))"
    )
    children = [child(home, code) for _ in range(2)]
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(whole_run, ledger, 2) for _ in range(9)]:
            future.result()
    assert [said(process) for process in children] == ["done", "done"]
    seqs = [event.seq for event in read_events(ledger, ORG, limit=1000)]
    assert seqs == list(range(1, 19 * 7 + 1))
    result = verify(ledger, ORG)
    assert (result.ok, result.problems) == (True, [])


def test_a_transaction_that_fails_leaves_no_gap(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.transaction() as connection:
            assert append(connection, ledger, ORG, Event("r", 0, "gap", {})) == 2
            raise ZeroDivisionError

    queue(ledger)
    with pytest.raises(ZeroDivisionError):
        fail()
    queue(ledger)
    assert [event.seq for event in read_events(ledger, ORG)] == [1, 2]


def test_a_reader_goes_on_where_it_stopped(ledger: Ledger) -> None:
    run_id = whole_run(ledger)
    other = begin(ledger)
    first = read_events(ledger, ORG, limit=4)
    rest = read_events(ledger, ORG, after=first[-1].seq)
    assert [event.seq for event in first + rest] == list(range(1, 10))
    assert {event.run_id for event in read_events(ledger, ORG, run_id=other)} == {other}
    assert read_events(ledger, ORG, run_id=run_id)[-1].payload["verdict"] == "healthy"


def test_a_payload_is_redacted_before_it_is_hashed(ledger: Ledger) -> None:
    run_id = begin(ledger)
    note = Note(kind="gap", payload={"said": "GET https://u:hunter22@h refused", "token": "abc"})
    runs.note(ledger, ORG, run_id, 1, note)
    assert read_events(ledger, ORG)[-1].payload == {
        "said": "GET https://u:***@h refused",
        "token": "***",
    }
    assert verify(ledger, ORG).ok


def test_times_follow_the_database_and_are_spelled_one_way(ledger: Ledger) -> None:
    queue(ledger)
    (at,) = rows(ledger, "SELECT at FROM events")[0]
    assert len(at) == len("2026-01-01T00:00:00.000000Z")
    assert at.endswith("Z")
    assert read_events(ledger, ORG)[0].at.utcoffset().total_seconds() == 0


def test_only_a_closed_run_can_be_erased(ledger: Ledger) -> None:
    with pytest.raises(Mistake, match="still open"):
        erase_run(ledger, ORG, begin(ledger), "ada", "why")
    with pytest.raises(Mistake, match="unknown"):
        erase_run(ledger, ORG, "nobody", "ada", "why")


def test_erased_events_are_read_without_a_payload(ledger: Ledger) -> None:
    run_id = whole_run(ledger)
    erase_run(ledger, ORG, run_id, "ada", "why")
    *erased, told = read_events(ledger, ORG, run_id=run_id)
    assert {event.payload for event in erased} == {None}
    assert (told.kind, told.payload) == ("run_erased", {"who": "ada", "reason": "why"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1.5, None, True]}, '{"a":[1.5,null,true],"b":1}'),
        ({"é": "日本"}, '{"é":"日本"}'),
        ({"n": "a\x00b"}, '{"n":"a\ufffdb"}'),
        ({"n": "\\u0000"}, '{"n":"\\\\u0000"}'),
        ({"n": float("nan"), "i": float("inf")}, '{"i":"inf","n":"nan"}'),
        ({"1": ("x", 2)}, '{"1":["x",2]}'),
        ({"s": "\ud800"}, '{"s":"?"}'),
    ],
)
def test_the_canonical_text_is_one_and_can_be_stored(value: object, text: str) -> None:
    assert canonical(value) == text
