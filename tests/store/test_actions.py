"""A permit is one effect at most: proposed, answered, claimed, settled, and never beyond that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from roundsman.errors import Cancelled, Denied, Fenced, Mistake
from roundsman.store import Ledger, actions, approvals, runs
from roundsman.store.approvals import Review, Wanted
from roundsman.store.erasure import erase_run
from roundsman.store.records import ActionRow, Claim, Proposal, Settlement
from roundsman.store.sweep import sweep
from roundsman.store.tables import instant_text
from roundsman.store.verify import verify
from tests.store.words import ORG, begin, change, child, finish, rows, said

LIVE = {"dry_run": False, "params": {"allow_actions": True}}
ADA, BOB = Review("ada@example.com", "looks right"), Review("bob@example.com")


def proposal(**changed: Any) -> Proposal:
    """A wish that policy allows."""
    payload = changed.pop("payload", {"selectors": ["tag:daily"]})
    fields: dict[str, Any] = {
        "agent": "warehouse_health",
        "action": "build",
        "target": "transform/local",
        "payload": payload,
        "payload_sha256": actions.payload_hash(payload),
        "occasion": {"watermark": "2026-11-25T06:00:00Z"},
        "lost_answer": "askable",
        "verdict": "allow",
        "policy_rule_id": "build-small",
        "policy_hash": "ab" * 8,
        "reason": "3 models downstream, 20 allowed",
        "requested_by": "ada@example.com",
    }
    return Proposal(**(fields | changed))


def live(ledger: Ledger, org: str = ORG, **changed: Any) -> str:
    return begin(ledger, org, **(LIVE | changed))


def propose(ledger: Ledger, run_id: str, **changed: Any) -> ActionRow:
    return actions.propose(ledger, ORG, run_id, 1, proposal(**changed))


def claim(ledger: Ledger, run_id: str, row: ActionRow, **changed: Any) -> ActionRow:
    wanted = Claim(action_id=row.action_id, payload_sha256=row.payload_sha256)
    return actions.claim(ledger, ORG, run_id, 1, wanted.model_copy(update=changed))


def settle(ledger: Ledger, run_id: str, row: ActionRow, state: Any = "done", **more: Any) -> None:
    told = Settlement(action_id=row.action_id, state=state, **more)
    actions.settle(ledger, ORG, run_id, 1, told)


def state(ledger: Ledger, row: ActionRow) -> str:
    return approvals.get_action(ledger, ORG, row.action_id).state


def backdate(ledger: Ledger, row: ActionRow, seconds: int = 5) -> None:
    """Let the request's time be over; the row is edited, as no clock of ours can be set."""
    past = instant_text(datetime.fromisoformat(ledger_now(ledger)) - timedelta(seconds=seconds))
    change(ledger, f"UPDATE actions SET expires_at = '{past}' WHERE action_id = '{row.action_id}'")


def ledger_now(ledger: Ledger) -> str:
    with ledger.reading() as connection:
        return ledger.now(connection)


@pytest.mark.covers("A-072")
def test_an_allowed_permit_is_claimed_once_and_settled_once(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run)
    assert (row.state, row.nonce, row.expires_at) == ("allowed", None, None)
    assert claim(ledger, run, row).state == "attempting"
    settle(ledger, run, row, result={"models_run": 3})
    after = approvals.get_action(ledger, ORG, row.action_id)
    assert (after.state, after.result, after.acting_run) == ("done", {"models_run": 3}, run)
    with pytest.raises(Denied, match="it was done already"):
        claim(ledger, run, row)
    with pytest.raises(Denied, match="not in the hands"):
        settle(ledger, run, row)
    assert verify(ledger, ORG).ok


def test_the_same_wish_is_the_same_permit_and_another_occasion_is_another(ledger: Ledger) -> None:
    run = live(ledger)
    first = propose(ledger, run)
    assert propose(ledger, run).action_id == first.action_id
    others = [
        propose(ledger, run, occasion={"watermark": "later"}),
        propose(ledger, run, target="transform/other"),
        propose(ledger, run, payload={"selectors": []}),
        propose(ledger, run, action="send"),
    ]
    assert len({first.action_id, *(row.action_id for row in others)}) == 5
    assert actions.action_id("other-org", "build", "t", "p", {}) != actions.action_id(
        ORG, "build", "t", "p", {}
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"dry_run": True, "params": {"allow_actions": True}}, "is a dry run"),
        ({"dry_run": False, "params": {"allow_actions": False}}, "may not act"),
        ({"dry_run": False, "params": {}}, "may not act"),
    ],
)
def test_no_permit_is_claimed_in_a_dry_run_or_with_actions_off(
    ledger: Ledger, changed: dict[str, Any], words: str
) -> None:
    row = propose(ledger, live(ledger))
    run = begin(ledger, **changed)
    with pytest.raises(Denied, match=words):
        claim(ledger, run, row)
    assert state(ledger, row) == "allowed"


def test_a_cancelled_run_begins_no_action(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run)
    runs.request_cancel(ledger, ORG, run, "ada")
    with pytest.raises(Cancelled, match="begins nothing more"):
        claim(ledger, run, row)


def test_a_closed_run_can_neither_propose_nor_claim_nor_settle(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run)
    finish(ledger, run)
    for act in (propose, lambda *a: claim(*a, row), lambda *a: settle(*a, row)):
        with pytest.raises(Fenced):
            act(ledger, run)


@pytest.mark.covers("F13", "A-078")
def test_a_permit_that_asks_waits_and_is_used_after_a_person_said_yes(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    assert row.state == "waiting"
    with pytest.raises(Denied, match="waits for a person"):
        claim(ledger, run, row)
    finish(ledger, run)

    approved = approvals.approve(ledger, ORG, row.action_id, ADA)
    assert (approved.state, approved.reviewed_by, approved.review_note) == ("allowed", *ADA)
    second = live(ledger, action_id=row.action_id, parent_run_id=run)
    used = claim(ledger, second, row)
    assert (used.nonce_used, used.acting_run) == (True, second)
    settle(ledger, second, row)
    with pytest.raises(Mistake, match="does not wait for an answer: it is done"):
        approvals.approve(ledger, ORG, row.action_id, ADA)
    assert verify(ledger, ORG).ok


@pytest.mark.covers("A-078")
def test_denied_is_for_good(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    approvals.deny(ledger, ORG, row.action_id, BOB)
    with pytest.raises(Mistake, match=r"denied by bob@example\.com"):
        approvals.approve(ledger, ORG, row.action_id, ADA)
    assert propose(ledger, run, verdict="ask").state == "denied"
    with pytest.raises(Denied, match=r"denied by bob@example\.com"):
        claim(ledger, run, row)


def test_a_changed_payload_under_an_old_approval_is_refused(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    approvals.approve(ledger, ORG, row.action_id, ADA)
    with pytest.raises(Denied, match="allowed with another payload"):
        claim(ledger, run, row, payload_sha256=actions.payload_hash({"selectors": ["*"]}))


def test_an_approval_that_was_written_into_the_table_bears_no_seal(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    change(ledger, "UPDATE actions SET state = 'allowed', reviewed_by = 'mallory'")
    with pytest.raises(Denied, match="bears no valid approval"):
        claim(ledger, run, row)
    assert "actions" in str(verify(ledger, ORG).first_bad)


@pytest.mark.parametrize("column", ["payload_sha256", "reviewed_by", "nonce", "expires_at"])
def test_a_seal_covers_what_was_approved(ledger: Ledger, column: str) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    approvals.approve(ledger, ORG, row.action_id, ADA)
    value = "2099-01-01T00:00:00.000000Z" if column == "expires_at" else "ab"
    change(ledger, f"UPDATE actions SET {column} = '{value}'")
    with pytest.raises(Denied, match="bears no valid approval|another payload"):
        claim(ledger, run, row)


def test_only_those_whom_policy_names_may_answer_and_four_eyes_are_four(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask", approvers=["Bob@example.com"], four_eyes=True)
    with pytest.raises(Denied, match=r"'ada@example\.com' may not answer"):
        approvals.approve(ledger, ORG, row.action_id, ADA)
    assert approvals.approve(ledger, ORG, row.action_id, BOB).state == "allowed"
    own = propose(ledger, run, verdict="ask", four_eyes=True, occasion={"n": 2})
    with pytest.raises(Denied, match="four eyes are wanted"):
        approvals.approve(ledger, ORG, own.action_id, ADA)
    with pytest.raises(Denied, match="nobody in particular"):
        approvals.deny(ledger, ORG, own.action_id, Review(" "))
    assert approvals.deny(ledger, ORG, own.action_id, ADA).state == "denied"


def test_a_request_that_nobody_answered_expires_and_is_asked_anew(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    backdate(ledger, row)
    with pytest.raises(Mistake, match="expired at"):
        approvals.approve(ledger, ORG, row.action_id, ADA)
    assert approvals.expire_due(ledger) == 1
    assert approvals.expire_due(ledger) == 0
    assert state(ledger, row) == "expired"
    again = propose(ledger, run, verdict="ask")
    assert (again.state, again.action_id) == ("waiting", row.action_id)
    assert again.nonce != row.nonce


def test_an_approval_that_was_not_used_in_time_is_no_use(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask", expires_minutes=1)
    approvals.approve(ledger, ORG, row.action_id, ADA)
    backdate(ledger, row)
    with pytest.raises(Denied):
        claim(ledger, run, row)
    assert approvals.expire_due(ledger) == 1
    assert state(ledger, row) == "expired"


def test_a_permit_of_another_org_is_unknown(ledger: Ledger) -> None:
    row = propose(ledger, live(ledger), verdict="ask")
    with pytest.raises(Mistake, match="not in the ledger of org 'other'"):
        approvals.approve(ledger, "other", row.action_id, ADA)
    with pytest.raises(Mistake, match="not in the ledger"):
        approvals.get_action(ledger, "other", row.action_id)
    run = live(ledger, "other")
    wanted = Claim(action_id=row.action_id, payload_sha256=row.payload_sha256)
    with pytest.raises(Denied, match="never proposed in org 'other'"):
        actions.claim(ledger, "other", run, 1, wanted)


@pytest.mark.parametrize(
    ("lost_answer", "again"), [("repeatable", True), ("askable", True), ("once", False)]
)
def test_a_lost_answer_is_unknown_and_only_what_may_be_repeated_is(
    ledger: Ledger, lost_answer: str, again: bool
) -> None:
    run = live(ledger)
    row = propose(ledger, run, lost_answer=lost_answer)
    claim(ledger, run, row)
    finish(ledger, run, "failed")
    lost = approvals.get_action(ledger, ORG, row.action_id)
    assert (lost.state, lost.said) == ("unknown", "its run failed before the answer came")
    second = live(ledger)
    if again:
        assert claim(ledger, second, row).acting_run == second
    else:
        with pytest.raises(Denied, match="a person must say"):
            claim(ledger, second, row)
        approvals.settle_by_hand(ledger, ORG, row.action_id, True, BOB)
        assert state(ledger, row) == "done"
        with pytest.raises(Mistake, match="its fate is known"):
            approvals.settle_by_hand(ledger, ORG, row.action_id, False, BOB)
    assert verify(ledger, ORG).ok


def test_the_sweep_calls_unknown_what_a_dead_process_had_begun(ledger: Ledger, home: Any) -> None:
    code = """
import os
from roundsman.store import actions
from tests.store.test_actions import LIVE, claim, propose
ledger = open_ledger(url, key, anchors)
from tests.store.words import begin
run = begin(ledger, **LIVE)
row = propose(ledger, run, lost_answer="once")
claim(ledger, run, row)
print(json.dumps([run, row.action_id]), flush=True)
os._exit(0)
"""
    run, key = said(child(home, code))
    assert [dead.run_id for dead in sweep(ledger)] == [run]
    assert approvals.get_action(ledger, ORG, key).state == "unknown"
    assert verify(ledger, ORG).ok


def test_a_second_attempt_finds_what_the_first_left_unknown(ledger: Ledger) -> None:
    from tests.store.words import opening

    run = live(ledger)
    row = propose(ledger, run)
    claim(ledger, run, row)
    assert runs.open_attempt(ledger, ORG, run, opening(**LIVE), runs.this_holder()) == 2
    assert state(ledger, row) == "unknown"
    with pytest.raises(Fenced):
        settle(ledger, run, row)


def test_a_target_has_one_flight_at_a_time(ledger: Ledger) -> None:
    run = live(ledger)
    first, second = propose(ledger, run), propose(ledger, run, occasion={"n": 2})
    claim(ledger, run, first)
    with pytest.raises(Denied, match=r"'transform/local' is in use by action '.*' \(attempting\)"):
        claim(ledger, run, second)
    settle(ledger, run, first)
    claim(ledger, run, second)


def test_what_is_unknown_and_may_not_be_repeated_holds_its_target(ledger: Ledger) -> None:
    run = live(ledger)
    first = propose(ledger, run, lost_answer="once")
    second = propose(ledger, run, occasion={"n": 2}, lost_answer="once")
    claim(ledger, run, first)
    settle(ledger, run, first, "unknown", said="no answer in 10 s")
    with pytest.raises(Denied, match=r"\(unknown\)"):
        claim(ledger, run, second)


def test_at_most_so_many_in_a_window(ledger: Ledger) -> None:
    run, limits = live(ledger), {"per_window": 2, "window_seconds": 3600}
    permits = [propose(ledger, run, occasion={"n": n}, limits=limits) for n in range(3)]
    for row in permits[:2]:
        claim(ledger, run, row)
        settle(ledger, run, row)
    with pytest.raises(Denied, match="had 2 actions 'build' in 1 h, 2 are allowed"):
        claim(ledger, run, permits[2])


def test_what_did_not_leave_the_machine_may_be_tried_again(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, lost_answer="once")
    claim(ledger, run, row)
    settle(ledger, run, row, "allowed", said="connection refused")
    assert claim(ledger, run, row).state == "attempting"


def test_one_switch_halts_every_effect_of_an_org(ledger: Ledger) -> None:
    run, other = live(ledger), live(ledger, "other")
    row = propose(ledger, run)
    assert approvals.switch_of(ledger, ORG) is None
    approvals.halt(ledger, ORG, Review("ada", "the warehouse is being moved"))
    with pytest.raises(Denied, match="were stopped by ada: the warehouse is being moved"):
        claim(ledger, run, row)
    elsewhere = actions.propose(ledger, "other", other, 1, proposal())
    wanted = Claim(action_id=elsewhere.action_id, payload_sha256=elsewhere.payload_sha256)
    assert actions.claim(ledger, "other", other, 1, wanted).state == "attempting"
    approvals.resume(ledger, ORG, Review("bob"))
    assert claim(ledger, run, row).state == "attempting"
    assert verify(ledger, ORG).ok


def test_policy_that_was_changed_meanwhile_is_heard(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run)
    assert propose(ledger, run, verdict="ask").state == "waiting"
    assert propose(ledger, run, verdict="allow").state == "allowed"
    assert propose(ledger, run, verdict="deny").state == "denied"
    assert propose(ledger, run, verdict="allow").state == "denied"
    with pytest.raises(Denied):
        claim(ledger, run, row)
    asked = propose(ledger, run, verdict="ask", occasion={"n": 2})
    approvals.approve(ledger, ORG, asked.action_id, ADA)
    assert propose(ledger, run, verdict="ask", occasion={"n": 2}).state == "allowed"
    assert propose(ledger, run, verdict="deny", occasion={"n": 2}).state == "denied"


def test_what_would_undo_an_effect_is_kept_before_it(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run)
    claim(ledger, run, row)
    actions.keep_undo(ledger, ORG, run, 1, row.action_id, {"file": "copy.duckdb"})
    kept = approvals.get_action(ledger, ORG, row.action_id)
    assert (kept.state, kept.undo) == ("attempting", {"file": "copy.duckdb"})
    assert verify(ledger, ORG).ok


def test_a_permit_whose_reason_is_past_is_let_go(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    told = Settlement(action_id=row.action_id, state="expired", said="the mart is fresh again")
    assert actions.withdraw(ledger, ORG, run, 1, told)
    assert not actions.withdraw(ledger, ORG, run, 1, told)
    with pytest.raises(Denied, match="the mart is fresh again"):
        claim(ledger, run, row)


def test_permits_are_listed_by_state_run_target_and_prefix(ledger: Ledger) -> None:
    run = live(ledger)
    waiting = propose(ledger, run, verdict="ask")
    allowed = propose(ledger, run, occasion={"n": 2})
    second = live(ledger)
    claim(ledger, second, allowed)

    def listed(**wanted: Any) -> set[str]:
        return {r.action_id for r in approvals.list_actions(ledger, ORG, Wanted(**wanted))}

    assert listed() == {waiting.action_id, allowed.action_id}
    assert listed(states=["waiting"]) == listed(was_asked=True) == {waiting.action_id}
    assert listed(run_id=second) == {allowed.action_id}
    assert listed(agent="nobody") == listed(target="nothing") == set()
    assert approvals.get_action(ledger, ORG, waiting.action_id[:8].upper()) == (
        approvals.get_action(ledger, ORG, waiting.action_id)
    )
    for name, words in (("abc", "too short"), ("%%%%%%%", "too short"), ("ffffffff", "not in")):
        with pytest.raises(Mistake, match=words):
            approvals.get_action(ledger, ORG, name)


@pytest.mark.covers("G-A5")
def test_the_view_of_approvals_has_the_columns_of_the_contract(ledger: Ledger) -> None:
    run = live(ledger)
    propose(ledger, run, occasion={"n": 0})
    row = propose(ledger, run, verdict="ask")
    names = (
        "request_id, agent, action, context, policy_rule_id, reason, status, requested_by,"
        " reviewed_by, expires_at, signature, nonce, nonce_used, executed, execution_result"
    )
    ((request, *_),) = rows(ledger, f"SELECT {names} FROM approvals")
    assert request == row.action_id

    def status() -> list[Any]:
        return [tuple(r) for r in rows(ledger, "SELECT status, executed FROM approvals")]

    assert status() == [("pending", False)]
    approvals.approve(ledger, ORG, row.action_id, ADA)
    assert status() == [("approved", False)]
    claim(ledger, run, row)
    settle(ledger, run, row)
    assert status() == [("approved", True)]


def test_an_approval_that_no_run_is_at_is_found_until_runs_kept_dying(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    assert approvals.unstarted(ledger, ORG) == []
    approvals.approve(ledger, ORG, row.action_id, ADA)
    for count in range(approvals.STARTS_MAX):
        assert [(r.action_id, n) for r, n in approvals.unstarted(ledger, ORG)] == [
            (row.action_id, count)
        ]
        second = live(ledger, action_id=row.action_id)
        assert approvals.unstarted(ledger, ORG) == []
        finish(ledger, second, "crashed")
    assert approvals.unstarted(ledger, ORG) == []


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE actions SET state = 'done'",
        "UPDATE actions SET payload = '{}'",
        "DELETE FROM actions",
        "UPDATE switches SET is_on = (1 = 0)",
    ],
)
def test_an_edited_permit_or_switch_is_named(ledger: Ledger, edit: str) -> None:
    propose(ledger, live(ledger))
    approvals.halt(ledger, ORG, Review("ada"))
    assert verify(ledger, ORG).ok
    change(ledger, edit)
    table = "switches" if "switches" in edit else "actions"
    assert str(verify(ledger, ORG).first_bad).startswith(table)


def test_erasing_a_run_takes_the_words_out_of_its_permits(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask", context={"customer": "Jane Roe"})
    finish(ledger, run)
    approvals.approve(ledger, ORG, row.action_id, Review("ada", "Jane Roe asked for it"))
    erase_run(ledger, ORG, run, "ada", "asked to")
    left = approvals.get_action(ledger, ORG, row.action_id)
    assert (left.state, left.context, left.review_note, left.payload) == ("allowed", {}, None, {})
    assert not [r for r in rows(ledger, "SELECT payload FROM events") if "Jane" in str(r)]
    assert verify(ledger, ORG).ok
    erase_run(ledger, ORG, run, "ada", "once more")
    assert verify(ledger, ORG).ok


def test_opening_the_ledger_expires_what_is_due(
    ledger: Ledger, open_home: Callable[[], Ledger]
) -> None:
    row = propose(ledger, live(ledger), verdict="ask")
    backdate(ledger, row)
    open_home()
    assert state(ledger, row) == "expired"
