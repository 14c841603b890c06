"""What was considered is read page by page; what was erased is counted and says nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roundsman.rules.approval import Policy, Request, decide
from roundsman.rules.simulation import StoredDecision
from roundsman.store import Ledger, actions
from roundsman.store.chain import canonical
from roundsman.store.decisions import ROWS_AT_ONCE, stored_decisions
from roundsman.store.erasure import erase_run
from roundsman.store.events import chain_event
from roundsman.store.records import Event
from tests.store.permits import ledger_now, live, propose
from tests.store.words import ORG, begin, change, finish, step

POLICY = Policy.model_validate(
    {"version": 1, "rules": [{"id": "build", "verdict": "allow", "actions": ["build"]}]}
)
DAY = timedelta(days=1)


def facts(action: str = "build", **context: Any) -> dict[str, Any]:
    """What a run tells of a wish, as roundsman/permits.py writes it."""
    request = Request(agent="warehouse_health", action=action, target="t", context=context)
    decision = decide(POLICY, request, datetime(2026, 1, 1, tzinfo=UTC))
    return {
        "request": request.model_dump(mode="json"),
        "decision": decision.model_dump(mode="json"),
        "policy_hash": "ab" * 8,
    }


def consider(ledger: Ledger, run_id: str, told: dict[str, Any], org: str = ORG) -> None:
    actions.consider(ledger, org, run_id, 1, told)


def stored(ledger: Ledger, org: str = ORG, back: timedelta = DAY) -> list[StoredDecision]:
    now = datetime.fromisoformat(ledger_now(ledger))
    return list(stored_decisions(ledger, org, now - back, now + DAY))


@pytest.mark.covers("A-116")
def test_live_and_dry_runs_are_read_with_what_was_asked_and_said(ledger: Ledger) -> None:
    dry, wet = begin(ledger), live(ledger)
    consider(ledger, dry, facts(blast_radius=3))
    step(ledger, dry, 0)
    permit = propose(ledger, wet, facts=facts("reindex"))
    first, second = stored(ledger)
    assert (first.run_id, first.action_id, first.verdict, first.rule_id) == (
        (dry, "", "allow", "build")
    )
    assert first.request is not None
    assert first.request.context == {"blast_radius": 3}
    assert (second.run_id, second.action_id, second.verdict, second.rule_id) == (
        (wet, permit.action_id, "ask", "built-in:unnamed")
    )
    assert first.seq < second.seq
    assert first.at.tzinfo is not None


def test_the_time_begins_with_since_and_ends_before_until(ledger: Ledger) -> None:
    run = begin(ledger)
    for n in range(4):
        consider(ledger, run, facts(n=n))
    seqs = [one.seq for one in stored(ledger)]
    for day, seq in enumerate(seqs, 1):
        change(
            ledger, f"UPDATE events SET at = '2026-03-0{day}T00:00:00.000000Z' WHERE seq = {seq}"
        )
    since, until = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
    found = list(stored_decisions(ledger, ORG, since, until))
    assert [one.seq for one in found] == seqs[1:3]
    assert [one.at for one in found] == [since, since + DAY]


def test_an_erased_run_is_counted_and_says_nothing(ledger: Ledger) -> None:
    dry, wet = begin(ledger), live(ledger)
    consider(ledger, dry, facts(secretive="yes"))
    propose(ledger, wet, facts=facts())
    for run in (dry, wet):
        finish(ledger, run)
        erase_run(ledger, ORG, run, "ada", "asked for")
    found = stored(ledger)
    assert [(one.run_id, one.request, one.verdict) for one in found] == [
        (dry, None, None),
        (wet, None, None),
    ]


def test_what_was_redacted_or_is_of_another_version_is_not_guessed_at(ledger: Ledger) -> None:
    run = begin(ledger)
    consider(ledger, run, facts(api_key="abcdefgh"))
    consider(ledger, run, {"wish": "of old"})
    consider(ledger, run, facts() | {"decision": {"verdict": "perhaps"}})
    consider(ledger, run, facts())
    assert [one.verdict for one in stored(ledger)] == [None, None, None, "allow"]


def test_other_orgs_are_not_seen(ledger: Ledger) -> None:
    run = begin(ledger, "other")
    consider(ledger, run, facts(), "other")
    assert stored(ledger) == []
    assert len(stored(ledger, "other")) == 1


def test_more_than_a_page_is_read_whole_and_in_order(ledger: Ledger) -> None:
    run = begin(ledger)
    count = 2 * ROWS_AT_ONCE + 3
    with ledger.transaction() as connection:
        at = ledger.now(connection)
        for n in range(count):
            event = Event(run, 1, "action_considered", {}, at)
            chain_event(connection, ledger, ORG, event, canonical(facts(n=n)))
    told = [one.request.context["n"] for one in stored(ledger) if one.request]
    assert told == list(range(count))
