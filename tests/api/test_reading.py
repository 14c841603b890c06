"""What is read of runs, agents, files, findings and approvals, and what people say about them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roundsman.api.app import sweep_once
from roundsman.rules.finding import FindingRules, Look, Seen
from roundsman.store import actions, approvals, findings, runs
from roundsman.store.artifacts import ArtifactStore
from tests.api.served import Api
from tests.store.permits import live, proposal
from tests.store.words import ORG, begin, finish, queue, whole_run

A033 = ("id", "agent_type", "objective", "status", "user_email", "started_at", "completed_at")
ERROR = {
    "type": "ProviderError",
    "message": "search 'emails-*' did not answer",
    "step": "query_es_daily",
    "kind": "Unready",
    "traceback": "Traceback (most recent call last): ...",
}


def failed(api: Api, status: str = "failed") -> str:
    run_id = begin(api.ledger, user_email="bob@example.org")
    finish(api.ledger, run_id, status, error=ERROR, verdict=None, artifacts={})
    return run_id


@pytest.mark.covers("A-033", "A-106")
def test_history_has_the_fields_of_the_specification_in_their_order(api: Api) -> None:
    run_id = whole_run(api.ledger, user_email="ann@example.org")
    answer = api.get("/agents/history?limit=10").json()
    assert list(answer) == ["runs", "total"]
    (row,) = answer["runs"]
    assert tuple(row)[:8] == (*A033, "duration_seconds")
    assert (row["run_id"], row["status"], row["objective"]) == (run_id, "success", "look")
    assert (row["user_email"], answer["total"]) == ("ann@example.org", 1)
    assert isinstance(row["id"], int)
    for name in ("started_at", "completed_at", "created_at"):
        assert row[name].endswith("Z")
        assert datetime.fromisoformat(row[name]).tzinfo is not None


@pytest.mark.covers("A-034", "A-113", "A-103")
def test_history_is_filtered_by_agent_status_person_and_whole_days(api: Api) -> None:
    good, bad, crashed = whole_run(api.ledger), failed(api), failed(api, "crashed")
    waiting = queue(api.ledger)
    today = datetime.now(UTC).date()

    def found(query: str) -> list[str]:
        return [row["run_id"] for row in api.get(f"/agents/history?{query}").json()["runs"]]

    assert found("") == [waiting, crashed, bad, good]
    assert found("status=failed") == [crashed, bad]
    assert found("status=success") == [good]
    assert found("status=running") == [waiting]
    assert found("status=cancelled") == []
    assert found("agent_type=other") == []
    assert found("user_email=bob@example.org") == [crashed, bad]
    assert found(f"start_date={today}&end_date={today}&limit=1&offset=1") == [crashed]
    assert found(f"start_date={today + timedelta(days=1)}") == []
    assert found(f"end_date={today - timedelta(days=1)}") == []
    assert api.get("/agents/history?limit=1").json()["total"] == 4


@pytest.mark.covers("A-024", "A-102", "A-112")
def test_a_failed_run_says_why_and_shows_its_stack_to_admins_only(api: Api) -> None:
    run_id = failed(api)
    reading, admin = api.key("read"), api.key("admin")
    told = api.get(f"/agents/runs/{run_id}", reading).json()
    assert (told["run_id"], told["status"]) == (run_id, "failed")
    assert told["error"] == {
        "type": "ProviderError",
        "message": "search 'emails-*' did not answer",
        "step": "query_es_daily",
        "traceback": None,
    }
    for path in ("", "/timeline"):
        assert "most recent call" not in api.get(f"/agents/runs/{run_id}{path}", reading).text
        assert "most recent call" in api.get(f"/agents/runs/{run_id}{path}", admin).text
    assert api.get(f"/agents/runs/{run_id}", admin).json()["error"]["traceback"]


@pytest.mark.covers("A-022")
def test_a_run_is_told_with_its_words_and_links(api: Api) -> None:
    run_id = whole_run(api.ledger)
    told = api.get(f"/agents/runs/{run_id}").json()
    assert list(told)[:6] == [
        *("run_id", "status", "started_at", "completed_at", "duration_seconds", "artifacts")
    ]
    assert (told["status"], told["ledger_status"], told["artifacts"]) == (
        *("success", "success"),
        {"n": 1},
    )
    assert (told["plan"], told["params"]) == (["query", "judge"], {"days": 7})
    assert api.get(told["links"]["self"]).json() == told
    assert api.get(told["links"]["timeline"]).status_code == 200
    assert api.get(f"/agents/runs/{run_id[:8]}").json() == told


def test_a_timeline_is_read_page_by_page(api: Api) -> None:
    run_id = whole_run(api.ledger)
    whole = api.get(f"/agents/runs/{run_id}/timeline").json()
    assert [step["name"] for step in whole["steps"]] == ["step_0", "step_1"]
    kinds = [event["kind"] for event in whole["events"]]
    assert (kinds[0], kinds[1], kinds[-1]) == ("run_queued", "run_started", "run_finished")
    assert whole["next_after"] is None
    assert whole["events"][0]["at"].endswith("Z")
    seen: list[Any] = []
    after = 0
    while after is not None:
        page = api.get(f"/agents/runs/{run_id}/timeline?after={after}&limit=3").json()
        seen += page["events"]
        after = page["next_after"]
    assert seen == whole["events"]


def test_a_run_is_asked_to_stop_once(api: Api) -> None:
    writing, run_id = api.key("write"), begin(api.ledger)
    asked = api.post(f"/agents/runs/{run_id}/cancel", writing)
    assert (asked.status_code, asked.json()) == (202, {"run_id": run_id, "cancel_requested": True})
    assert runs.is_cancel_requested(api.ledger, ORG, run_id)
    done = whole_run(api.ledger)
    late = api.post(f"/agents/runs/{done}/cancel", writing)
    assert (late.status_code, "has ended as success" in late.json()["error"]) == (409, True)
    waiting = queue(api.ledger)
    assert api.post(f"/agents/runs/{waiting}/cancel", writing).status_code == 202
    assert api.get(f"/agents/runs/{waiting}", api.key("read")).json()["status"] == "cancelled"


@pytest.mark.covers("A-004", "A-007")
def test_agents_are_told_with_their_schema_and_their_rounds(api: Api) -> None:
    (brief,) = api.get("/agents").json()["agents"]
    assert (brief["name"], brief["capabilities"][0]) == ("warehouse_health", "read_es")
    whole = api.get("/agents/warehouse_health").json()
    assert whole["plan"][:3] == ["query_es_daily", "query_bq_daily", "check_parity"]
    assert whole["params_schema"]["properties"]["days"]["maximum"] == 92
    assert whole["rounds"] == []


@pytest.mark.covers("A-084", "A-114")
def test_files_are_listed_by_pattern_and_given_out_unharmed(api: Api) -> None:
    store = ArtifactStore(api.settings.artifacts, ORG)
    store.write("report_2025-10-17_103045.md", "# well\n", "warehouse_health")
    store.write_json("facts.json", {"n": 1}, "warehouse_health")
    store.write("deep/page.html", "<script>alert(1)</script>", "warehouse_health")
    base = "/agents/artifacts/warehouse_health"
    listed = api.get(base).json()
    assert [file["path"] for file in listed["files"]] == [
        "facts.json",
        "report_2025-10-17_103045.md",
    ]
    assert listed["total"] == 2
    assert [f["path"] for f in api.get(f"{base}?pattern=*.json").json()["files"]] == ["facts.json"]
    assert api.get(f"{base}?pattern=**/*&limit=1").json()["total"] == 3
    given = api.get(listed["files"][1]["url"])
    assert (given.text, given.headers["Content-Type"]) == (
        "# well\n",
        "text/markdown; charset=utf-8",
    )
    page = api.get(f"{base}/deep/page.html")
    assert page.headers["Content-Type"] == "application/octet-stream"
    assert page.headers["Content-Disposition"].startswith("attachment")
    assert page.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("pattern", ["a**b", ".", "[", "**/" * 20 + "x", "*" * 200])
def test_no_pattern_breaks_the_list(api: Api, pattern: str) -> None:
    ArtifactStore(api.settings.artifacts, ORG).write("x.md", "", "warehouse_health")
    answer = api.get("/agents/artifacts/warehouse_health", params={"pattern": pattern})
    assert answer.status_code in (200, 422)


def test_a_link_out_of_the_folder_is_not_followed(api: Api) -> None:
    store = ArtifactStore(api.settings.artifacts, ORG)
    folder = store.write("x.md", "", "warehouse_health").parent
    (folder / "out.db").symlink_to(api.settings.home / "ledger.db")
    assert api.get("/agents/artifacts/warehouse_health/out.db").status_code == 404


def see(api: Api) -> str:
    """One finding of one run; gives its fingerprint."""
    run_id = begin(api.ledger)
    seen = Seen(kind="freshness", subject="emails", severity="high", said="3 hours old")
    look = Look(
        agent="warehouse_health",
        round="prod",
        run_id=run_id,
        at=datetime.now(UTC),
        seen=(seen,),
        looked=frozenset({"freshness"}),
    )
    (change,) = findings.record_look(api.ledger, ORG, 1, look, FindingRules())
    return change.after.fingerprint


def test_a_finding_is_taken_on_muted_and_heard_of_again(api: Api) -> None:
    key, writing = see(api), api.key("read", "write")
    (listed,) = api.get("/findings?severity=high", writing).json()["findings"]
    assert listed == api.get(f"/findings/{key}", writing).json()
    taken = api.post(f"/findings/{key}/ack", writing, json={"note": "mine"}).json()
    assert (taken["state"], taken["acknowledged_by"], taken["note"]) == (
        *("acknowledged", "ann@example.org"),
        "mine",
    )
    assert api.post(f"/findings/{key}/ack", writing).status_code == 409
    muted = api.post(f"/findings/{key}/mute", writing, json={"hours": 4, "reason": "x"}).json()
    assert muted["muted_until"].endswith("Z")
    assert api.post(f"/findings/{key}/unmute", writing).json()["muted_until"] is None
    assert api.post(f"/findings/{key}/unmute", writing).status_code == 409
    assert api.get("/findings?state=resolved", writing).json() == {"findings": []}
    assert len(api.get("/findings?everything=true", writing).json()["findings"]) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "either 'until' or 'hours'"),
        ({"hours": 1, "until": "2099-01-01T00:00:00Z"}, "either 'until' or 'hours'"),
        ({"hours": 0}, "'hours' must be above 0"),
        ({"until": "2020-01-01T00:00:00Z"}, "2020"),
        ({"until": "2099-01-01"}, "'until'"),
        ({"until": "0001-01-01T00:00:00+14:00"}, ""),
        ({"until": "9999-12-31T23:59:59-14:00"}, ""),
    ],
)
def test_a_mute_without_a_sensible_end_is_refused(
    api: Api, body: dict[str, Any], said: str
) -> None:
    key, writing = see(api), api.key("write")
    before = api.events()
    refused = api.post(f"/findings/{key}/mute", writing, json=body)
    assert refused.status_code == 422
    assert said in refused.json()["error"]
    assert api.events() == before


def ask(api: Api, **changed: Any) -> str:
    """One permit that waits for a person; gives its id."""
    run_id = live(api.ledger)
    wish = proposal(verdict="ask", **changed)
    return actions.propose(api.ledger, ORG, run_id, 1, wish).action_id


def test_what_waits_is_shown_with_its_exact_payload_and_without_its_seal(api: Api) -> None:
    key, reading = ask(api), api.key("read")
    (waiting,) = api.get("/approvals", reading).json()["approvals"]
    assert waiting == api.get(f"/approvals/{key}", reading).json()
    assert (waiting["state"], waiting["payload"]) == ("waiting", {"selectors": ["tag:daily"]})
    assert not {"nonce", "signature"} & waiting.keys()
    assert api.get("/approvals?agent=other", reading).json() == {"approvals": []}


@pytest.mark.covers("A-078")
def test_an_action_is_denied_once_and_by_whom_it_concerns(api: Api) -> None:
    key = ask(api, approvers=["ann@example.org"])
    stranger = api.key("approve", name="eve@example.org")
    refused = api.post(f"/approvals/{key}/deny", stranger)
    assert (refused.status_code, "may not answer" in refused.json()["error"]) == (403, True)
    ann = api.key("approve")
    assert api.post(f"/approvals/{key}/deny", ann, json={"note": "no"}).json()["state"] == "denied"
    again = api.post(f"/approvals/{key}/deny", ann)
    assert (again.status_code, "does not wait" in again.json()["error"]) == (409, True)
    row = approvals.get_action(api.ledger, ORG, key)
    assert (row.reviewed_by, row.review_note) == ("ann@example.org", "no")


def test_four_eyes_hold_for_keys_too(api: Api) -> None:
    key = ask(api, four_eyes=True, requested_by="ann@example.org")
    refused = api.post(f"/approvals/{key}/approve", api.key("approve"))
    assert (refused.status_code, "four eyes are wanted" in refused.json()["error"]) == (403, True)


def test_an_action_that_was_never_asked_of_anybody_is_no_approval(api: Api) -> None:
    key = actions.propose(api.ledger, ORG, live(api.ledger), 1, proposal()).action_id
    assert api.get(f"/approvals/{key}").status_code == 404


@pytest.mark.covers("B-006", "A-090", "D-066")
def test_the_service_says_its_name_and_whether_it_is_ready(api: Api) -> None:
    assert api.get("/").json() == {"status": "ok", "service": "roundsman"}
    assert api.get("/health").json()["status"] == "ok"
    assert api.get("/ready").json()["status"] == "ready"
    with api.ledger.transaction() as connection:
        connection.execute("UPDATE schema_version SET version_num = '0001'")
    late = api.get("/ready")
    assert (late.status_code, late.headers["Retry-After"]) == (503, "5")
    assert "has schema '0001'" in late.json()["error"]


def test_a_ledger_that_is_gone_is_said_to_be(api: Api) -> None:
    with api.ledger.transaction() as connection:
        connection.execute("ALTER TABLE agent_audit_log RENAME TO gone")
    answer = api.get("/agents/history")
    assert answer.status_code >= 500
    assert "Traceback" not in answer.text
    assert json.loads(answer.text)["error"]
    assert len(answer.headers["X-Request-ID"]) == 36


def test_what_a_command_does_when_it_opens_the_ledger_a_server_does_again_and_again(
    api: Api,
) -> None:
    key = ask(api)
    with api.ledger.transaction() as connection:
        past = "'2020-01-01T00:00:00.000000Z'"
        connection.execute(f"UPDATE actions SET expires_at = {past}")
    sweep_once(api.ledger, api.settings)
    assert approvals.get_action(api.ledger, ORG, key).state == "expired"


@pytest.mark.covers("A-028", "A-111")
def test_events_of_a_run_are_told_through_the_same_door(api: Api) -> None:
    run_id = whole_run(api.ledger)
    told = api.get(f"/agents/events?run_id={run_id}", api.key("read"))
    assert told.headers["Content-Type"].startswith("text/event-stream")
    assert told.headers["X-Accel-Buffering"] == "no"
    assert told.headers["Cache-Control"] == "no-cache"
    names = [line[7:] for line in told.text.splitlines() if line.startswith("event: ")]
    assert (names[1], names[-1]) == ("run_started", "run_finished")
    assert api.get(f"/agents/events?run_id={run_id}").status_code == 401
