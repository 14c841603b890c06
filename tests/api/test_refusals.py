"""What is not answered: the right 4xx with a sentence, and nothing stored."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from roundsman.api.problems import problem
from tests.api.served import Api, until

UNKNOWN = "00000000-0000-4000-8000-000000000000"
WRONG: list[tuple[str, int, str]] = [
    ("/nowhere", 404, "there is nothing at '/nowhere'"),
    (f"/agents/runs/{UNKNOWN}", 404, "is not in the ledger"),
    ("/agents/runs/ab", 422, "must have at least 6 characters"),
    ("/agents/runs/%2e%2e%2f%2e%2e%2fetc", 404, "there is nothing at"),
    ("/agents/history?limit=-1", 422, "'limit' must be at least 1"),
    ("/agents/history?limit=1001", 422, "'limit' must be at most 1000"),
    ("/agents/history?limit=many", 422, "'limit' must be a whole number"),
    ("/agents/history?offset=-1", 422, "'offset' must be at least 0"),
    ("/agents/history?offset=99999999999999999999999", 422, "'offset' must be at most"),
    ("/agents/history?start_date=2025-13-40", 422, "'start_date'"),
    ("/agents/history?start_date=yesterday", 422, "must be a date, as 2026-01-31"),
    ("/agents/history?start_date=17", 422, "must be a date, as 2026-01-31"),
    ("/agents/history?end_date=9999-12-31", 422, "'end_date'"),
    ("/agents/history?status=done", 422, "'status' must be one of"),
    ("/agents/history?agent_type=a%00b", 422, "NUL"),
    ("/agents/history?page=2", 422, "unknown field 'page'"),
    ("/agents/nobody", 404, "Invalid agent_type: 'nobody'. Available: warehouse_health"),
    ("/agents/decide", 404, "'decide' is an operation and no agent"),
    ("/agents/artifacts/warehouse_health/%2e%2e%2f%2e%2e%2fledger.db", 404, "leaves the folder"),
    ("/agents/artifacts/warehouse_health/..%5c..%5cx", 404, "leaves the folder"),
    ("/agents/artifacts/warehouse_health/a%00b", 422, "NUL"),
    ("/agents/artifacts/warehouse_health/nothing.md", 404, "does not exist"),
    ("/agents/artifacts/warehouse_health?pattern=../*", 422, "leaves the folder"),
    ("/agents/artifacts/warehouse_health?pattern=/etc/*", 422, "leaves the folder"),
    ("/agents/artifacts/bad%20name", 404, "cannot be a folder's name"),
    ("/approvals/abcdef123456", 404, "is not in the ledger"),
    ("/approvals?state=lost", 422, "must be one of"),
    ("/findings/abcdef123456", 404, "is not in the ledger"),
    ("/findings/x", 404, "too short"),
    ("/findings?severity=awful", 422, "must be one of"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One API for the whole table: what is refused leaves nothing that the next could see."""
    from tests.api.served import make_settings, serving

    with serving(make_settings(tmp_path_factory.mktemp("refusals"))) as served:
        yield served


def is_problem(answer: Any, status: int, said: str) -> None:
    document = answer.json()
    assert (answer.status_code, document["status"]) == (status, status), document
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert said in document["error"]
    assert document["detail"] == document["error"]
    assert {"type", "title", "instance"} <= document.keys()
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(("path", "status", "said"), WRONG)
def test_a_wrong_question_is_answered_with_a_sentence(
    shared: Api, path: str, status: int, said: str
) -> None:
    before = shared.events()
    is_problem(shared.get(path), status, said)
    assert shared.events() == before


EXECUTE: list[tuple[Any, int, str]] = [
    ({}, 422, "'agent_type' is missing"),
    ([], 422, "mapping"),
    ({"agent_type": "x", "dry_run": "false"}, 422, "'dry_run' must be true or false"),
    ({"agent_type": "x", "colour": 1}, 422, "unknown field 'colour'"),
    ({"agent_type": "x", "config": {"es": {"indexes": "a"}}}, 422, "'config.es.indexes'"),
    ({"agent_type": "x", "config": {"redis": {}}}, 422, "unknown field 'config.redis'"),
    ({"agent_type": "x", "wait_seconds": 301}, 422, "'wait_seconds' must be at most 300"),
    ({"agent_type": "x", "wait_seconds": -1}, 422, "'wait_seconds' must be at least 0"),
    ({"agent_type": "x", "budget_ms": 0}, 422, "'budget_ms' must be at least 1"),
    ({"agent_type": "decide"}, 422, "Invalid agent_type: 'decide'. Available: warehouse_health"),
    ({"agent_type": "decide", "round": "form"}, 422, "Invalid agent_type: 'decide'"),
    ({"agent_type": "x", "round": "y/z"}, 422, "round 'y/z' is not one of agent 'x'"),
    ({"agent_type": "looking", "round": "slow"}, 422, "Invalid round: 'looking/slow'"),
    ({"agent_type": "warehouse_health", "params": {"dayz": 1}}, 422, "'dayz' was unexpected"),
    ({"agent_type": "warehouse_health", "params": {"days": 0}}, 422, "parameter 'days': 0 is"),
    ({"agent_type": "warehouse_health", "params": {"days": "7"}}, 422, "parameter 'days'"),
    (
        {"agent_type": "warehouse_health", "params": {"dry_run": False}},
        422,
        "give 'dry_run' beside params",
    ),
    (
        {"agent_type": "warehouse_health", "params": {"days": 1}, "config": {"es": {"days": 2}}},
        422,
        "'days' is given twice",
    ),
    (
        {"agent_type": "warehouse_health", "config": {"bq": {"table": "emails"}}},
        422,
        "config.bq has no 'dataset'",
    ),
    (
        {"agent_type": "warehouse_health", "retry_run_id": UNKNOWN},
        404,
        f"run '{UNKNOWN}' is not in the ledger",
    ),
    (
        {"agent_type": "warehouse_health", "retry_run_id": UNKNOWN, "params": {}},
        422,
        "leave out 'params'",
    ),
]


@pytest.mark.parametrize(("body", "status", "said"), EXECUTE)
def test_a_wish_that_cannot_be_is_refused_and_leaves_nothing(
    shared: Api, monkeypatch: pytest.MonkeyPatch, body: Any, status: int, said: str
) -> None:
    _by_its_rounds(shared, monkeypatch)
    before = shared.events()
    is_problem(shared.post("/agents/execute", json=body), status, said)
    assert shared.events() == before


def _by_its_rounds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from roundsman.settings import get_settings

    monkeypatch.setenv("ROUNDSMAN_ROUNDS", str(api.settings.rounds))
    get_settings.cache_clear()


@pytest.mark.needs("postgresql")
def test_on_postgresql_the_same_is_refused_in_the_same_words(
    serve: Callable[..., Api], request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgresql")
    api = serve(database_url=server.create_database())
    before = api.events()
    for path, status, said in WRONG:
        is_problem(api.get(path), status, said)
    for body, status, said in EXECUTE:
        is_problem(api.post("/agents/execute", json=body), status, said)
    largest = api.get("/agents/history?offset=100000000&end_date=9998-12-31&start_date=0001-01-01")
    assert largest.json() == {"runs": [], "total": 0}
    assert api.events() == before


@pytest.mark.covers("A-025")
def test_a_wrong_agent_is_answered_word_for_word(shared: Api) -> None:
    answer = shared.post("/agents/execute", json={"agent_type": "unknown_agent"})
    is_problem(answer, 422, "")
    said = "Invalid agent_type: 'unknown_agent'. Available: warehouse_health"
    assert answer.json()["error"] == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "the body is not JSON"),
        (b"", "body"),
        (b'{"agent_type": "\\ud800"}', "'agent_type'"),
        (b'{"agent_type": "x\\u0000"}', "NUL"),
        (b'{"agent_type": "warehouse_health", "params": {"days": NaN}}', "number that JSON"),
        (b'{"agent_type": "x", "params": ' + b'{"a":' * 30 + b"1" + b"}" * 31, "nested deeper"),
    ],
)
def test_a_body_that_is_none_is_refused(shared: Api, content: bytes, said: str) -> None:
    headers = {"Content-Type": "application/json"}
    is_problem(shared.post("/agents/execute", content=content, headers=headers), 422, said)


def test_a_body_that_never_ends_nesting_is_refused(shared: Api) -> None:
    headers = {"Content-Type": "application/json"}
    answer = shared.post("/agents/execute", content=b"[" * 100_000, headers=headers)
    is_problem(answer, 400, "body")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_foreign_form_could_send_is_refused(shared: Api, kind: str) -> None:
    answer = shared.post("/agents/execute", content=b"{}", headers={"Content-Type": kind})
    is_problem(answer, 415, "Content-Type: application/json")


def test_a_body_beyond_a_mebibyte_is_refused_also_without_a_length(shared: Api) -> None:
    headers = {"Content-Type": "application/json"}
    large = b'{"agent_type": "' + b"x" * (1 << 20) + b'"}'
    is_problem(shared.post("/agents/execute", content=large, headers=headers), 413, "1,048,576")
    pieces = (large[at : at + 65_536] for at in range(0, len(large), 65_536))
    is_problem(shared.post("/agents/execute", content=pieces, headers=headers), 413, "1,048,576")


def send_partly(api: Api) -> socket.socket:
    """A wish that reads well, in a body that is said to be longer."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    caller = socket.create_connection((host, int(port)), timeout=30)
    head = "POST /agents/execute HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n"
    body = json.dumps({"agent_type": "warehouse_health"})
    caller.sendall(f"{head.format(host)}Content-Length: 500\r\n\r\n{body}".encode())
    return caller


def test_a_body_that_does_not_come_is_not_waited_for(
    shared: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roundsman.api.guard.BODY_SECONDS_MAX", 0.1)
    before = shared.events()
    with send_partly(shared) as caller:
        assert caller.recv(1_000).startswith(b"HTTP/1.1 408 ")
    assert shared.events() == before


def test_half_a_body_of_somebody_who_left_is_no_wish(
    shared: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, str]] = []
    monkeypatch.setattr(
        "roundsman.api.guard.problem",
        lambda request, status, said: seen.append((status, said)) or problem(request, status, said),
    )
    send_partly(shared).close()
    until(lambda: seen)
    assert seen == [(400, "the caller left before the end of the body")]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_foreign_page_changes_nothing(shared: Api, origin: str) -> None:
    answer = shared.post("/agents/execute", json={}, headers={"Origin": origin})
    is_problem(answer, 403, f"origin '{origin}' may not change anything here")


def test_our_own_page_may(shared: Api) -> None:
    answer = shared.post("/agents/execute", json={}, headers={"Origin": shared.url})
    assert answer.status_code == 422


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"])
def test_a_name_that_was_bound_to_this_address_is_not_served(shared: Api, host: str) -> None:
    for path in ("/", "/agents/history", "/metrics"):
        is_problem(shared.get(path, headers={"Host": host}), 421, "is not served here")


def test_a_wrong_method_is_said_to_be_one(shared: Api) -> None:
    is_problem(shared.call("DELETE", "/agents", json={}), 405, "'DELETE' is not possible")


def test_hosts_and_origins_of_the_settings_are_served(serve: Callable[..., Api]) -> None:
    api = serve(
        allowed_hosts=("agents.example",),
        cors_origins=("https://board.example",),
        public_url="https://rounds.example/",
    )
    for host in ("agents.example", "rounds.example:443"):
        assert api.get("/health", headers={"Host": host}).status_code == 200
    board = {"Origin": "https://board.example"}
    answer = api.get("/agents", headers=board)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://board.example"
    for origin in ("https://board.example", "https://rounds.example"):
        assert api.post("/agents/execute", headers={"Origin": origin}).status_code == 422
    asked = board | {"Access-Control-Request-Method": "POST"}
    assert api.call("OPTIONS", "/agents/execute", headers=asked).status_code == 200
    foreign = api.get("/agents", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in foreign.headers


def test_no_page_of_others_reads_by_default(shared: Api) -> None:
    answer = shared.get("/agents", headers={"Origin": "https://board.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_request_is_named_in_its_answer(shared: Api) -> None:
    assert shared.get("/", headers={"X-Request-ID": "job-17"}).headers["X-Request-ID"] == "job-17"
    made = shared.get("/", headers={"X-Request-ID": "a b\tc"}).headers["X-Request-ID"]
    assert len(made) == 36
    assert shared.get("/nowhere").headers["X-Content-Type-Options"] == "nosniff"
