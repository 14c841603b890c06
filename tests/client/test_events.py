"""Whoever follows events by a client sees each once and in order, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.streams import Place, let_write, start_writer, wait_for
from bench.streams import serving as serving_apart
from roundsman.client import ClientError, NotAllowed, NotFound, Unavailable, Unreadable
from roundsman.client.following import Following, Reader
from roundsman.store import keys
from tests.api.served import Api, make_settings, serving
from tests.servers.scripted import Reply, Scripted
from tests.store.words import ORG, begin, finish, queue, step, whole_run

KINDS = ["run_queued", "run_started", "step_started", "step_finished", "run_finished"]


@pytest.mark.covers("A-028", "A-029", "A-030")
def test_a_run_is_told_from_its_first_event_to_its_last(api: Api, call: Callable[..., Any]) -> None:
    run_id = whole_run(api.ledger, 1)
    client = call(api.url)
    told = list(client.events(run_id))
    assert [event.kind for event in told] == KINDS
    assert [event.seq for event in told] == [1, 2, 3, 4, 5]
    assert told[1].data["plan"] == {"steps": ["query", "judge"], "dry_run": True}
    assert [event.seq for event in client.events(run_id, after=3)] == [4, 5]
    assert list(client.events(run_id, after=5)) == []
    with pytest.raises(NotFound, match="run 'no-such-run' is not in the ledger"):
        next(client.events("no-such-run"))


def test_a_server_that_was_away_is_found_again_and_nothing_is_lost(
    tmp_path: Path, call: Callable[..., Any]
) -> None:
    settings = make_settings(tmp_path)
    with serving(settings) as api:
        run_id = begin(api.ledger)
        client = call(api.url)
        reading = client.events(run_id)
        seen = [next(reading), next(reading)]
        port = int(api.url.rpartition(":")[2])
    with serving(settings, port) as api:
        step(api.ledger, run_id, 0)
        finish(api.ledger, run_id)
        seen += list(reading)
    assert [event.kind for event in seen] == KINDS
    assert [event.seq for event in seen] == [1, 2, 3, 4, 5]


def test_nobody_waits_for_a_server_that_never_was_there(call: Callable[..., Any]) -> None:
    with pytest.raises(Unavailable, match=r"/agents/events' was not answered"):
        next(call("http://127.0.0.1:1").events())


def test_a_key_that_is_revoked_ends_the_following(api: Api, call: Callable[..., Any]) -> None:
    secret = api.key("read")
    run_id = begin(api.ledger)
    with Scripted() as broken:
        # One event, and then the line is cut; whoever comes back is told that his key is no good.
        first = Reply(b"id: 7\nretry: 1\nevent: run_started\ndata: {}\n\n")
        broken.on("GET", "/agents/events", first, Reply({"detail": "revoked"}, 401))
        reading = call(broken.url, secret).events(run_id)
        assert next(reading).seq == 7
        with pytest.raises(NotAllowed, match="revoked"):
            next(reading)
        assert broken.requests[1].headers["last-event-id"] == "7"
    (listed,) = keys.list_keys(api.ledger, ORG)
    keys.revoke_key(api.ledger, ORG, listed.key_id, "tests")
    with pytest.raises(NotAllowed, match="unknown, expired or revoked"):
        next(call(api.url, secret).events(run_id))


def test_who_is_cut_off_for_being_slow_goes_on_where_he_was(
    tmp_path: Path, call: Callable[..., Any]
) -> None:
    place = Place(f"sqlite:///{tmp_path}/ledger.db", str(tmp_path / "chain.key"))
    run_id, writer = start_writer(place, events=300, characters=100_000)
    with serving_apart(place, queue_events_max=20, lag_seconds_max=0) as served:
        client = call(f"http://127.0.0.1:{served.port}")
        opened: list[Any] = []
        count = _counting(opened, client)
        client._http.event_hooks = {"request": [count]}
        reading = client.events(run_id)
        seen = [next(reading).seq]
        let_write(writer)
        last = wait_for(writer).last
        seen += [event.seq for event in reading]
    assert seen == list(range(1, last + 1))
    # The first, at least one after a cut, and the one that was told of the end.
    assert len(opened) >= 3


def _counting(opened: list[Any], client: Any) -> Callable[[Any], Any]:
    async def later(request: Any) -> None:
        opened.append(request)

    return opened.append if type(client).__name__ == "Client" else later


def test_all_runs_are_followed_from_now_on_or_after_an_event(
    api: Api, call: Callable[..., Any]
) -> None:
    for _ in range(3):
        queue(api.ledger)
    reading = call(api.url).events(after=1)
    assert [next(reading).seq for _ in range(2)] == [2, 3]
    queue(api.ledger)
    assert next(reading).seq == 4


def test_a_stream_is_read_whatever_the_pieces_that_it_comes_in() -> None:
    text = 'id: 3\nretry: 250\n\n: ping\n\nid: 4\nevent: gap\ndata: {"said": "a\u2028b"}\r\n\r\n'
    raw = text.encode()
    whole = Reader().feed(raw)
    assert [(one.seq, one.name, one.retry_seconds) for one in whole] == [
        (3, "", 0.25),
        (4, "gap", None),
    ]
    assert whole[1].data == '{"said": "a\u2028b"}'
    for size in (1, 2, 7):
        reader = Reader()
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
        assert [one for piece in pieces for one in reader.feed(piece)] == whole


def test_a_number_that_no_event_has_is_none() -> None:
    (told,) = Reader().feed(b"id: %b\nretry: %b\nevent: x\n\n" % (b"9" * 5_000, b"9" * 5_000))
    assert (told.seq, told.retry_seconds) == (None, None)


def test_who_is_told_nothing_again_and_again_gives_up() -> None:
    following = Following(None, None)
    (opening,) = Reader().feed(b"id: 1\nretry: 10\n\n")
    assert following.hear(opening) is None
    pauses = [following.seek_again(None) for _ in range(30)]
    assert (pauses[0], pauses[1], len(pauses)) == (0.0, 0.01, 30)
    with pytest.raises(Unreadable, match="ends again and again"):
        following.seek_again(None)


def test_what_is_no_event_is_said_to_be_none(call: Callable[..., Any]) -> None:
    server = Scripted(lambda _request: Reply(b"id: 1\nevent: x\ndata: [1\n\n"))
    said = "event 1 of the stream is no JSON object"
    with server, pytest.raises(ClientError, match=said):
        next(call(server.url).events())
