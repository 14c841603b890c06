"""Whoever follows `/agents/events` sees each event once and in order, and hinders nobody."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.streams import (
    Place,
    Reads,
    Served,
    Told,
    follow,
    leave_and_return,
    let_write,
    serving,
    start_writer,
    wait_for,
)
from roundsman.api.stream import payload_of
from roundsman.store import Ledger, open_ledger, runs
from roundsman.store.erasure import erase_run
from roundsman.store.events import read_events, read_heads
from tests.ledgers import lay_database, lay_file
from tests.store.words import ORG, begin, finish, queue, step, whole_run

# Of 10,000 events and 1,000 disconnects, which `python -m bench.doors` does, a tenth.
WRITERS, EVENTS_EACH = 3, 333
READERS, LEAVES_EACH, EVENTS_BEFORE_LEAVING_MAX = 10, 10, 60
LEAVES_MIN = 90
PATIENCE_SECONDS = 60
WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"params": {"run_id": "no-such-run"}}, 404, "run 'no-such-run' is not in the ledger"),
    ({"params": {"run_id": "../../x"}}, 422, "'run_id'"),
    ({"params": {"after": "-1"}}, 422, "'after'"),
    ({"params": {"after": "9"}}, 422, "event 9 was never written, the newest is 1"),
    ({"params": {"after": "9" * 30}}, 422, "'after'"),
    ({"headers": {"Last-Event-ID": "x"}}, 422, "Last-Event-ID 'x' is no number"),
    ({"headers": {"Last-Event-ID": "9" * 40}}, 422, "is no number"),
]
ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    key = str(tmp_path / "chain.key")
    if request.param == "sqlite":
        lay_file(tmp_path)
        yield Place(f"sqlite:///{tmp_path}/ledger.db", key)
        return
    server = request.getfixturevalue("postgresql")
    url = lay_database(server)
    yield Place(url, key)
    server.drop_database(url)


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    ledger = open_ledger(place.url, Path(place.key))
    yield ledger
    ledger.close()


@pytest.fixture
def served(ledger: Ledger, place: Place) -> Iterator[Served]:
    with serving(place) as served:
        yield served


def read(port: int, query: str = "", last: int | None = None, until: int = 0) -> list[Told]:
    """Messages until the stream ends, or until event `until`."""

    async def reading() -> list[Told]:
        seen: list[Told] = []
        async with aclosing(follow(port, query, last)) as stream:
            async for told in stream:
                seen.append(told)
                if until and told.seq == until and told.name:
                    break
        return seen

    return asyncio.run(asyncio.wait_for(reading(), PATIENCE_SECONDS))


def read_on(port: int, query: str, last: int | None = None) -> list[Told]:
    """Messages until the run ends; who is cut off comes back, as a browser does."""
    seen: list[Told] = []
    while not seen or seen[-1].name != "run_finished":
        seen += [told for told in read(port, query, last) if told.seq and told.name]
        last = seen[-1].seq if seen else last
    return seen


def get(served: Served, **wanted: Any) -> httpx.Response:
    """The answer to a request that opens no stream."""
    return httpx.get(f"http://127.0.0.1:{served.port}/agents/events", timeout=30, **wanted)


def seqs(seen: list[Told]) -> list[int | None]:
    return [told.seq for told in seen if told.name not in ("", ":")]


@pytest.mark.covers("A-028", "A-029", "A-030", "A-032", "A-111", "B-096")
def test_a_finished_run_is_told_whole_and_the_stream_closes(ledger: Ledger, served: Served) -> None:
    run_id = whole_run(ledger, 1)
    opening, *seen = read(served.port, f"?run_id={run_id}")
    assert (opening.seq, opening.name) == (0, "")
    names = ["run_queued", "run_started", "step_started", "step_finished", "run_finished"]
    assert [told.name for told in seen] == names
    assert seqs(seen) == [1, 2, 3, 4, 5]
    started, finished = seen[1].data, seen[4].data
    assert started == {
        "run_id": run_id,
        "agent_type": "warehouse_health",
        "objective": "look",
        "plan": {"steps": ["query", "judge"], "dry_run": True},
        "timestamp": started["timestamp"],
    }
    assert finished == {
        "run_id": run_id,
        "status": "success",
        "duration_seconds": finished["duration_seconds"],
        "artifacts": {"n": 1},
        "timestamp": finished["timestamp"],
    }
    assert (finished["duration_seconds"] >= 0, finished["timestamp"][-1]) == (True, "Z")
    assert list(seen[3].data) == ["run_id", "attempt", "payload", "timestamp"]


@pytest.mark.covers("A-031", "A-112")
def test_a_failed_run_says_why_in_one_string(ledger: Ledger, served: Served) -> None:
    run_id = begin(ledger)
    error = {"type": "Unready", "message": "search 'emails-*' did not answer", "step": "query"}
    finish(ledger, run_id, "failed", error=error)
    last = read(served.port, f"?run_id={run_id}")[-1]
    assert last.name == "run_failed"
    assert list(last.data) == ["run_id", "error", "timestamp"]
    assert last.data["error"] == "search 'emails-*' did not answer"


def test_the_head_says_that_nobody_may_keep_it(ledger: Ledger, served: Served) -> None:
    run_id = whole_run(ledger, 0)
    answer = get(served, params={"run_id": run_id})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.text.startswith("id: 0\nretry: 1000\n\nid: 1\nevent: run_queued\ndata: {")


@pytest.mark.covers("B-078")
def test_events_of_another_process_arrive_while_it_works(place: Place, served: Served) -> None:
    run_id, writer = start_writer(place, events=3)

    async def watch() -> list[str]:
        names: list[str] = []
        async with aclosing(follow(served.port, f"?run_id={run_id}")) as stream:
            async for told in stream:
                names.append(told.name)
                if told.name == "run_started":
                    let_write(writer)
        return names

    names = asyncio.run(asyncio.wait_for(watch(), PATIENCE_SECONDS))
    assert names == ["", "run_queued", "run_started", "gap", "gap", "gap", "run_finished"]
    assert wait_for(writer).last == 6


def test_a_reader_of_all_runs_goes_on_where_it_stopped(ledger: Ledger, served: Served) -> None:
    whole_run(ledger)
    queue(ledger)
    assert seqs(read(served.port, "?after=3", until=8)) == [4, 5, 6, 7, 8]
    assert seqs(read(served.port, "?after=3", last=6, until=8)) == [7, 8]
    assert seqs(read(served.port, last=7, until=8)) == [8]


def test_whoever_leaves_before_the_first_event_knows_where_to_go_on(
    ledger: Ledger, served: Served
) -> None:
    queue(ledger)

    async def first() -> Told:
        async with aclosing(follow(served.port)) as stream:
            return await anext(stream)

    opening = asyncio.run(asyncio.wait_for(first(), PATIENCE_SECONDS))
    queue(ledger)
    assert seqs(read(served.port, last=opening.seq, until=2)) == [2]


def test_a_browser_that_reconnects_to_a_finished_run_is_told_to_stop(
    ledger: Ledger, served: Served
) -> None:
    run_id = whole_run(ledger, 0)
    answer = get(served, params={"run_id": run_id}, headers={"Last-Event-ID": "3"})
    assert (answer.status_code, answer.content) == (204, b"")
    erase_run(ledger, ORG, run_id, "ada", "why")
    assert get(served, params={"run_id": run_id, "after": "3"}).status_code == 204
    erased = read(served.port, f"?run_id={run_id}", last=2)[-1]
    assert (erased.name, erased.data["status"], erased.data["artifacts"]) == (
        "run_finished",
        None,
        None,
    )


@pytest.mark.covers("B-073")
def test_what_cannot_be_followed_is_answered_by_a_problem(ledger: Ledger, served: Served) -> None:
    queue(ledger)
    # Asked of one server, because each takes seconds to start.
    for wanted, status, sentence in WRONG:
        answer = get(served, **wanted)
        assert answer.status_code == status, wanted
        assert answer.headers["content-type"] == "application/problem+json"
        assert sentence in answer.json()["detail"]


def test_an_org_cannot_follow_the_run_of_another(ledger: Ledger, served: Served) -> None:
    run_id = queue(ledger, "other")
    assert get(served, params={"run_id": run_id}).status_code == 404


def test_silence_is_broken_by_comments(ledger: Ledger, place: Place) -> None:
    async def first_two(port: int) -> list[str]:
        async with aclosing(follow(port)) as stream:
            return [(await anext(stream)).name for _ in range(3)]

    with serving(place, heartbeat=0.2) as served:
        names = asyncio.run(asyncio.wait_for(first_two(served.port), PATIENCE_SECONDS))
    assert names == ["", ":", ":"]


def test_beyond_the_bound_nobody_is_let_in_until_one_leaves(ledger: Ledger, place: Place) -> None:
    async def one_at_a_time(served: Served) -> None:
        async with aclosing(follow(served.port)) as stream:
            await anext(stream)
            answer = await asyncio.to_thread(get, served)
            assert answer.status_code == 503
            assert "1 readers follow the events already" in answer.json()["error"]
            assert int(answer.headers["retry-after"]) > 0
        await _let_in(served.port)

    with serving(place, readers_max=1) as served:
        asyncio.run(asyncio.wait_for(one_at_a_time(served), PATIENCE_SECONDS))


async def _let_in(port: int) -> None:
    """Returns as soon as a stream is opened."""
    while True:
        try:
            async with aclosing(follow(port)) as stream:
                await anext(stream)
                return
        except ConnectionError:
            await asyncio.sleep(0.02)


def test_who_cannot_keep_up_is_told_so_and_hinders_nobody(ledger: Ledger, place: Place) -> None:
    run_id, writer = start_writer(place, events=150, characters=60_000)
    with serving(place, queue_events_max=20, lag_seconds_max=0) as served, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", served.port))
        slow.sendall(
            f"GET /agents/events?run_id={run_id} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode()
        )
        slow.settimeout(PATIENCE_SECONDS)
        assert slow.recv(12).startswith(b"HTTP/1.1 200")
        let_write(writer)
        quick = seqs(read_on(served.port, f"?run_id={run_id}"))
        last = wait_for(writer).last
        assert quick == list(range(1, last + 1))
        text = b"".join(iter(lambda: slow.recv(65_536), b"")).decode()
        parts = text.partition("\n\n")[2].split("\n\n")
        *told, cut = [part for part in parts if part and not part.startswith(":")]
        before = [int(part.split("\n")[0].removeprefix("id: ")) for part in told]
        assert before == list(range(1, len(before) + 1))
        assert len(before) < last
        assert cut.startswith("event: cut\ndata: ")
        reason = json.loads(cut.partition("data: ")[2])
        assert reason["after"] == before[-1]
        assert "it was behind by more than 20 events" in reason["reason"]
        rest = seqs(read_on(served.port, f"?run_id={run_id}", reason["after"]))
    assert before + rest == list(range(1, last + 1))


def test_none_is_lost_or_twice_however_often_readers_leave(ledger: Ledger, place: Place) -> None:
    writers = [start_writer(place, events=EVENTS_EACH)[1] for _ in range(WRITERS)]
    # Each writer's run is queued, started, and ends.
    until = WRITERS * (EVENTS_EACH + 3)

    async def read_all(port: int) -> list[tuple[list[int], int]]:
        reads = Reads(port, LEAVES_EACH, EVENTS_BEFORE_LEAVING_MAX, until)
        readers = [leave_and_return(reads, random.Random(seed)) for seed in range(READERS)]
        return await asyncio.gather(*readers)

    with serving(place) as served:
        for writer in writers:
            let_write(writer)
        heard = asyncio.run(asyncio.wait_for(read_all(served.port), PATIENCE_SECONDS * 2))
    assert max(wait_for(writer).last for writer in writers) == until == read_heads(ledger)[ORG]
    assert [seen for seen, _ in heard] == [list(range(1, until + 1))] * READERS
    assert sum(left for _, left in heard) >= LEAVES_MIN


def test_a_server_that_is_told_to_stop_does_not_wait_for_its_readers(
    ledger: Ledger, served: Served
) -> None:
    async def until_closed() -> float:
        async with aclosing(follow(served.port)) as stream:
            await anext(stream)
            served.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert [told.name async for told in stream] in ([], ["cut"])
            return time.monotonic() - began

    # The readers are let go within a second; ten bear with a machine that has other work.
    assert asyncio.run(asyncio.wait_for(until_closed(), PATIENCE_SECONDS)) < 10
    assert served.process.wait(PATIENCE_SECONDS) in (0, -signal.SIGTERM)


def test_an_event_that_is_not_of_the_three_is_told_under_its_kind(ledger: Ledger) -> None:
    run_id = begin(ledger)
    runs.request_cancel(ledger, ORG, run_id, "ada")
    step(ledger, run_id, 0)
    told = {event.kind: payload_of(event) for event in read_events(ledger, ORG)}
    cancel = told["cancel_requested"]
    assert (cancel["run_id"], cancel["payload"]) == (run_id, {"who": "ada"})
    assert told["step_started"]["payload"]["name"] == "step_0"
