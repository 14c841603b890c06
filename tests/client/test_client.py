"""What the clients ask of a served API and are told, be it an answer or a no."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roundsman.client import (
    Client,
    ClientError,
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    Unavailable,
    Unreadable,
)
from roundsman.errors import Mistake
from roundsman.store import keys, runs
from roundsman.store.artifacts import ArtifactStore
from tests.api.served import Api, until
from tests.api.test_reading import ask, failed, see
from tests.copies import ROOT
from tests.servers.prefect_server import PrefectServer
from tests.servers.scripted import Reply, Scripted
from tests.store.permits import keep_done
from tests.store.words import ORG, begin, whole_run

SECRET = "rk_" + "z" * 40
QUICK: dict[str, Any] = {"round": "quick"}


def test_importing_the_client_loads_neither_engine_nor_ledger() -> None:
    told = (
        "import sys, roundsman.client; "
        "print(*{name.split('.')[0] for name in sys.modules} & {'prefect', 'sqlalchemy', 'httpx'});"
        "roundsman.client.Client('http://127.0.0.1:1');"
        "print(*{name.split('.')[0] for name in sys.modules} & {'prefect', 'sqlalchemy'})"
    )
    said = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True, cwd=ROOT)
    assert said.stdout.split() == []


def test_agents_and_their_rounds_are_told(api: Api, call: Callable[..., Any]) -> None:
    client = call(api.url)
    (brief,) = client.agents()
    assert (brief.name, brief.capabilities[0]) == ("warehouse_health", "read_es")
    whole = client.agent("warehouse_health")
    assert whole.plan[:2] == ["query_es_daily", "query_bq_daily"]
    assert whole.params_schema["properties"]["days"]["maximum"] == 92


def test_rounds_are_told_with_their_next_start(api: Api, call: Callable[..., Any]) -> None:
    quick = next(one for one in call(api.url).rounds() if one.name == "looking/quick")
    assert (quick.agent, quick.last_run, quick.next_start.hour) == ("looking", None, 6)


def test_actions_are_halted_settled_and_asked_for_anew(api: Api, call: Callable[..., Any]) -> None:
    client, waiting, run_id = call(api.url, api.key("admin")), ask(api), keep_done(api.ledger)
    assert client.switch().stopped is False
    assert client.stop("a move").reason == client.switch().reason == "a move"
    resumed = client.resume()
    assert (resumed.stopped, resumed.was_stopped, resumed.started) == (False, True, {})
    (one,) = client.actions(run_id=run_id)
    assert client.action(one.action_id).acting_run == one.acting_run == run_id
    with pytest.raises(Conflict, match="its fate is known"):
        client.settle(one.action_id, "not-done", "it is not there")
    client.deny(waiting)
    assert client.reopen(waiting, "needed").state == "waiting"
    (foreseen,) = client.undo_preview(run_id).actions
    assert (foreseen.action_id, foreseen.state) == (one.action_id, "undoable")
    with pytest.raises(Conflict, match="did nothing outside"):
        client.undo(run_id, "ffffffff")


@pytest.mark.covers("A-022", "A-024", "A-103")
def test_a_run_is_told_with_its_times_its_error_and_its_events(
    api: Api, call: Callable[..., Any]
) -> None:
    client = call(api.url)
    good, bad = client.run(whole_run(api.ledger)), client.run(failed(api)[:8])
    assert (good.status, good.ledger_status, good.artifacts) == ("success", "success", {"n": 1})
    assert (good.params, good.plan, good.is_open) == ({"days": 7}, ["query", "judge"], False)
    assert good.started_at <= good.completed_at
    assert (bad.status, bad.error.type, bad.error.step) == (
        *("failed", "ProviderError"),
        "query_es_daily",
    )
    told = client.timeline(good.run_id)
    assert [step["name"] for step in told.steps] == ["step_0", "step_1"]
    assert told.events[-1]["kind"] == "run_finished"
    later = client.timeline(good.run_id, after=told.events[1]["seq"])
    assert later.events == told.events[2:]


def test_the_history_is_read_page_by_page_and_none_comes_twice(
    api: Api, call: Callable[..., Any]
) -> None:
    began = [whole_run(api.ledger, 0) for _ in range(5)]
    client = call(api.url)
    reading = client.history(limit=2)
    seen = [next(reading).run_id]
    whole_run(api.ledger, 0)
    seen += [row.run_id for row in reading]
    assert seen == began[::-1]
    today = datetime.now(UTC).date()
    page = client.history_page(1, status="success", start_date=today, end_date=today, limit=3)
    assert (len(page.runs), page.total) == (3, 6)
    assert list(client.history(start_date=today + timedelta(days=1))) == []


@pytest.mark.covers("A-084", "A-114")
def test_files_are_listed_and_given_as_they_were_written(
    api: Api, call: Callable[..., Any]
) -> None:
    store = ArtifactStore(api.settings.artifacts, ORG)
    store.write("a name & more.md", "# grün\n", "warehouse_health")
    store.write("deep/#1.json", "{}", "warehouse_health")
    client = call(api.url)
    (file,) = client.artifacts("warehouse_health")
    assert client.artifact("warehouse_health", file.path) == "# grün\n".encode()
    (deep,) = client.artifacts("warehouse_health", "**/*.json")
    assert client.artifact("warehouse_health", deep.path) == b"{}"
    with pytest.raises(NotFound, match=r"artifact 'x\.md' of 'warehouse_health' does not exist"):
        client.artifact("warehouse_health", "x.md")


def test_what_waits_is_seen_and_denied_once(api: Api, call: Callable[..., Any]) -> None:
    key = ask(api)
    client = call(api.url, api.key("read", "approve"))
    (waiting,) = client.approvals(agent="warehouse_health")
    assert waiting == client.approval(key)
    assert waiting.payload == {"selectors": ["tag:daily"]}
    assert client.deny(key, "not today").state == "denied"
    with pytest.raises(Conflict) as no:
        client.deny(key)
    assert no.value.status == 409
    assert client.approvals() == []
    assert [one.state for one in client.approvals(state=["denied", "expired"])] == ["denied"]


def test_a_finding_is_taken_on_muted_and_heard_of_again(api: Api, call: Callable[..., Any]) -> None:
    key = see(api)
    client = call(api.url, api.key("read", "write"))
    (found,) = client.findings(severity=["high", "low"])
    assert found == client.finding(key)
    assert client.acknowledge(key, "mine").state == "acknowledged"
    end = datetime.now(UTC) + timedelta(hours=2)
    assert client.mute(key, until=end, reason="move").muted_until == end
    assert client.unmute(key).muted_until is None
    assert client.mute(key, hours=1).muted_until is not None
    with pytest.raises(Invalid, match="either 'until' or 'hours'"):
        client.mute(key)


@pytest.mark.covers("A-090")
def test_a_run_is_asked_to_stop_and_the_service_tells_how_it_is(
    api: Api, call: Callable[..., Any]
) -> None:
    run_id = begin(api.ledger)
    client = call(api.url, api.key("read", "write"))
    assert client.cancel(run_id).cancel_requested
    assert runs.is_cancel_requested(api.ledger, ORG, run_id)
    assert (client.health().status, client.ready().status) == ("ok", "ready")
    with api.ledger.transaction() as connection:
        connection.execute("UPDATE schema_version SET version_num = '0001'")
    with pytest.raises(Unavailable, match="has schema '0001'") as no:
        client.ready()
    assert (no.value.status, no.value.retry_after, len(no.value.request_id)) == (503, 5.0, 36)


@pytest.mark.covers("A-025", "A-112")
def test_a_key_that_is_missing_wrong_or_revoked_is_told_apart(
    api: Api, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = api.key("read")
    with pytest.raises(NotAllowed, match="a key is needed here") as no:
        call(api.url).agents()
    assert no.value.status == 401
    assert len(no.value.request_id) == 36
    with pytest.raises(NotAllowed, match="unknown, expired or revoked"):
        call(api.url, SECRET).agents()
    monkeypatch.setenv("ROUNDSMAN_API_KEY", reading)
    client = call(api.url)
    assert client.agents()
    with pytest.raises(NotAllowed, match="has no permission 'write'") as no:
        client.execute("warehouse_health")
    assert (no.value.status, no.value.detail) == (403, no.value.said)
    (listed,) = keys.list_keys(api.ledger, ORG)
    keys.revoke_key(api.ledger, ORG, listed.key_id, "tests")
    with pytest.raises(NotAllowed, match="revoked"):
        client.agents()


def test_the_key_is_shown_nowhere(call: Callable[..., Any]) -> None:
    client = call("http://127.0.0.1:1/", SECRET)
    with pytest.raises(Unavailable, match="was not answered") as away:
        client.agents()
    shown = f"{client!r} {client._http!r} {client._http.headers!r} {away.value!r} {away.value}"
    assert SECRET not in shown
    assert "Client('http://127.0.0.1:1')" in shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8080", "no address of an API"),
        ("http://ann:word@localhost:8080", "holds a password"),
        ("ftp://localhost", "no address of an API"),
        ("http://[::1", "is no address"),
        ("http://x:y", "is no address"),
        ("http://x/?key=1", "no address of an API"),
    ],
)
def test_an_address_that_cannot_be_called_is_refused(url: str, said: str) -> None:
    with pytest.raises(Mistake, match=said) as no:
        Client(url)
    assert "word" not in str(no.value).replace("password", "")


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(Mistake, match="characters that no key has"):
        Client("http://127.0.0.1:1", "a\r\nX-Other: b")


def test_what_was_asked_wrongly_is_told_in_the_servers_sentence(
    api: Api, call: Callable[..., Any]
) -> None:
    client = call(api.url)
    with pytest.raises(NotFound, match="run 'abcdef99' is not in the ledger"):
        client.run("abcdef99")
    with pytest.raises(Invalid, match=r"Invalid agent_type: 'unknown_agent'\. Available: wareh"):
        client.execute("unknown_agent")
    with pytest.raises(NotFound, match="there is nothing at"):
        client.run("../../health")
    with pytest.raises(Invalid, match="'run_id'"):
        client.run("x y")
    with pytest.raises(ClientError, match="'limit'"):
        client.history_page(limit=-1)


def test_what_may_be_sent_again_is_sent_again_when_the_server_asks_for_it(
    call: Callable[..., Any],
) -> None:
    later = Reply({"detail": "later"}, 429, {"Retry-After": "0"})
    long = Reply({"detail": "much later"}, 503, {"Retry-After": "3600"})
    with Scripted() as server:
        server.on("GET", "/health", later, later, Reply({"status": "ok"}))
        server.on("GET", "/runs/abcdef99", later)
        server.on("GET", "/agents", long)
        server.on("POST", "/cancel", later)
        client = call(server.url)
        assert client.health().status == "ok"
        for ask_for, times in (
            (lambda: client.run("abcdef99"), 4),
            (client.agents, 1),
            (lambda: client.cancel("abcdef99"), 1),
        ):
            before = len(server.requests)
            with pytest.raises(Unavailable, match="later"):
                ask_for()
            assert len(server.requests) - before == times


def test_who_asks_too_often_waits_as_long_as_he_is_told(
    serve: Callable[..., Api], call: Callable[..., Any]
) -> None:
    client = call(serve(api_requests_per_minute=60).url)
    assert all(client.agents() for _ in range(62))


@pytest.mark.engine
@pytest.mark.covers("A-013", "A-022", "A-023")
def test_a_run_is_started_once_followed_and_read(
    serve: Callable[..., Api],
    call: Callable[..., Any],
    prefect_server: PrefectServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    api = serve(prefect_api_url=prefect_server.url)
    client = call(api.url)
    began = client.execute("looking", **QUICK, wait_seconds=0, idempotency_key="once")
    assert began.is_open
    kinds = [event.kind for event in client.events(began.run_id)]
    assert (kinds[0], kinds[1], kinds[-1]) == ("run_queued", "run_started", "run_finished")
    ended = client.execute("looking", **QUICK, wait_seconds=0, idempotency_key="once")
    assert (ended.run_id, ended.status, ended.verdict) == (began.run_id, "success", "healthy")
    assert (ended.artifacts, ended.ops_count) == ({"answer": 1}, 2)
    assert ended.duration_ms == round(ended.duration_seconds * 1000)
    (row,) = client.history()
    assert row.run_id == began.run_id
    assert until(lambda: client.run(began.run_id).ledger_status == "success")


def test_what_is_no_api_of_ours_is_said_to_be_none(call: Callable[..., Any]) -> None:
    page = Reply(b"<html>", headers={"Content-Type": "text/html"})
    with Scripted(lambda _request: page) as server:
        with pytest.raises(Unreadable, match=r"is not read here; check the address"):
            call(server.url).agents()
        server.answers[:] = [lambda _request: Reply(status=302, headers={"Location": "/x"})]
        with pytest.raises(Unreadable):
            call(server.url).execute("warehouse_health")


def test_a_sentence_of_whoever_answers_moves_and_hides_nothing(call: Callable[..., Any]) -> None:
    told = {"detail": "no\x1b]0;x\x07 \u202etxt\x9b2J", "status": 422}
    with Scripted(lambda _: Reply(told, 422)) as server, pytest.raises(ClientError) as caught:
        call(server.url).agents()
    assert str(caught.value) == "no]0;x txt2J"
