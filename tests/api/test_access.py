"""Who is let in, to what, and whose rows he sees."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from roundsman.api.access import Rates
from roundsman.store import keys
from tests.api.served import Api
from tests.store.words import begin, whole_run

READS = (
    "/agents",
    "/agents/history",
    "/approvals",
    "/findings",
    "/metrics",
    "/agents/warehouse_health",
)
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("path", READS)
def test_without_a_key_this_machine_may_read(api: Api, path: str) -> None:
    assert api.get(path).status_code == 200


@pytest.mark.parametrize("path", READS)
def test_once_there_is_a_key_everybody_needs_one(api: Api, path: str) -> None:
    secret = api.key("read")
    refused = api.get(path)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert refused.json()["error"].startswith("a key is needed here")
    assert api.get(path, secret).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/agents/runs/{UNKNOWN}/cancel", {}),
        ("/approvals/abcdef123456/approve", {}),
        ("/approvals/abcdef123456/deny", {}),
        ("/findings/abcdef123456/ack", {}),
        ("/findings/abcdef123456/mute", {"hours": 1}),
        ("/findings/abcdef123456/unmute", {}),
        ("/agents/execute", {"agent_type": "warehouse_health", "dry_run": False}),
    ],
)
def test_what_changes_something_needs_a_key_on_this_machine_too(
    api: Api, path: str, body: dict[str, object]
) -> None:
    refused = api.post(path, json=body)
    assert refused.status_code == 401
    assert "this needs a key with the permission" in refused.json()["error"]
    held = api.post(path, api.key("read"), json=body)
    assert held.status_code == 403
    assert "has no permission" in held.json()["error"]


def test_a_key_that_may_only_write_does_not_read(api: Api) -> None:
    assert api.get("/agents/history", api.key("write")).status_code == 403
    assert api.get("/agents/history", api.key("admin")).status_code == 200


@pytest.mark.parametrize(
    "header", ["Bearer rm_wrong", "Bearer", "Basic YTpi", "rm_x", "Bearer " + "x" * 5_000]
)
def test_a_wrong_key_opens_less_than_none(api: Api, header: str) -> None:
    refused = api.get("/agents/history", headers={"Authorization": header})
    assert refused.status_code == 401
    assert "unknown, expired or revoked" in refused.json()["error"]


def test_a_revoked_key_opens_nothing_from_the_next_request_on(api: Api) -> None:
    secret = api.key("read")
    owned = keys.recognise(api.ledger, secret)
    assert owned is not None
    assert api.get("/agents", secret).status_code == 200
    keys.revoke_key(api.ledger, owned.org, owned.key.key_id, "ada")
    assert api.get("/agents", secret).status_code == 401


@pytest.mark.parametrize("by", ["key", "cookie", "nothing"])
def test_whoever_is_not_let_in_any_more_is_told_of_no_more_events(
    api: Api, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr("roundsman.api.stream.WELCOME_SECONDS", 0.1)
    secret = "" if by == "nothing" else api.key("read")
    if by == "cookie":
        assert api.post("/session", json={"key": secret}).status_code == 200
    headers = {"Authorization": f"Bearer {secret}"} if by == "key" else {}
    with api.client.stream("GET", "/agents/events", headers=headers, timeout=20) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("id: ")
        begin(api.ledger)
        assert "event: run_started" in lines
        if by == "nothing":
            api.key("read")
        for listed in keys.list_keys(api.ledger, "default") if secret else ():
            keys.revoke_key(api.ledger, "default", listed.key_id, "ada")
        assert "event: cut" in lines
        assert "no good any more" in next(lines)
        assert list(lines)[1:] == []
    assert api.get("/agents/events?after=0", secret or None).status_code == 401


def test_a_key_in_the_address_is_no_key(api: Api) -> None:
    secret = api.key("read")
    assert api.get(f"/agents/history?key={secret}").status_code == 401


@pytest.mark.covers("D-106", "D-110")
def test_an_org_sees_its_own_rows_only(api: Api) -> None:
    ours, theirs = whole_run(api.ledger), begin(api.ledger, org="acme")
    acme, home = api.key("admin", org="acme"), api.key("admin")
    for secret, own, other in ((acme, theirs, ours), (home, ours, theirs)):
        listed = api.get("/agents/history", secret).json()
        assert [row["run_id"] for row in listed["runs"]] == [own]
        assert listed["total"] == 1
        for path in ("", "/timeline"):
            assert api.get(f"/agents/runs/{own}{path}", secret).status_code == 200
            assert api.get(f"/agents/runs/{other}{path}", secret).status_code == 404
        assert api.post(f"/agents/runs/{other}/cancel", secret).status_code == 404
        again = {"agent_type": "warehouse_health", "retry_run_id": other}
        assert api.post("/agents/execute", secret, json=again).status_code == 404
        assert api.get(f"/agents/events?run_id={other}", secret).status_code == 404
    assert 'org="acme"' not in api.get("/metrics", home).text


PROXIES = (
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Forwarded",
    "X-Real-IP",
    "Via",
)


@pytest.mark.parametrize("header", PROXIES)
def test_whoever_a_proxy_sends_on_is_not_at_this_machine(api: Api, header: str) -> None:
    refused = api.get("/agents/history", headers={header: "127.0.0.1"})
    assert refused.status_code == 401
    assert "only this machine itself is answered" in refused.json()["error"]


def test_health_is_told_to_everybody(api: Api) -> None:
    api.key("read")
    for path in ("/", "/health", "/ready"):
        assert api.get(path).status_code == 200


def test_beyond_its_rate_a_caller_waits_and_the_others_do_not(serve: Callable[..., Api]) -> None:
    api = serve(api_requests_per_minute=3)
    ann, bob = api.key("read", name="ann"), api.key("read", name="bob")
    answers = [api.get("/agents", ann) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 20
    assert answers[-1].json()["error"].startswith("more than 3 requests a minute")
    assert api.get("/agents", bob).status_code == 200


def test_a_bucket_fills_evenly() -> None:
    rates = Rates(60)
    assert [rates.take("ann", 0.0) for _ in range(61)][-1] == pytest.approx(1.0)
    assert rates.take("ann", 0.5) == pytest.approx(0.5)
    assert rates.take("ann", 1.0) == 0
    assert rates.take("bob", 0.0) == 0


def test_only_so_many_callers_are_remembered() -> None:
    rates = Rates(1)
    for number in range(20_000):
        rates.take(str(number), 0.0)
    assert len(rates._left) == 10_000
