"""People answer once, those who may, in time; and one switch halts everything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from roundsman.errors import Denied, Mistake
from roundsman.store import Ledger, actions, approvals
from roundsman.store.approvals import Review, Wanted
from roundsman.store.erasure import erase_run
from roundsman.store.records import Claim
from roundsman.store.tables import instant_text
from roundsman.store.verify import verify
from tests.store.permits import (
    ADA,
    BOB,
    backdate,
    claim,
    live,
    proposal,
    propose,
    settle,
    state,
)
from tests.store.words import ORG, change, finish, rows


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
    for verdict in ("ask", "allow", "deny"):
        assert propose(ledger, run, verdict=verdict).state == "denied"
    with pytest.raises(Denied, match=r"denied by bob@example\.com"):
        claim(ledger, run, row)
    finish(ledger, run)
    erase_run(ledger, ORG, run, "ada", "asked to")
    assert propose(ledger, live(ledger), verdict="allow").state == "denied"


def test_an_approval_that_was_written_into_the_table_bears_no_seal(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    change(ledger, "UPDATE actions SET state = 'allowed', reviewed_by = 'mallory'")
    with pytest.raises(Denied, match="bears no valid approval"):
        claim(ledger, run, row)
    assert "actions" in str(verify(ledger, ORG).first_bad)


def test_an_approval_from_which_the_seal_was_taken_is_none(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    approvals.approve(ledger, ORG, row.action_id, ADA)
    change(ledger, "UPDATE actions SET nonce = NULL, signature = NULL, reviewed_by = 'mallory'")
    assert propose(ledger, run, verdict="ask").state == "allowed"
    with pytest.raises(Denied, match="bears no valid approval"):
        claim(ledger, run, row)


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


def test_what_is_asked_anew_is_asked_as_the_newest_run_wants_it(ledger: Ledger) -> None:
    row = propose(ledger, live(ledger), verdict="ask", precondition={"last_build_at": "1"})
    backdate(ledger, row)
    assert approvals.expire_due(ledger) == 1
    run = live(ledger)
    limits = {"per_window": 1, "window_seconds": 60}
    again = propose(ledger, run, verdict="ask", precondition={"last_build_at": "2"}, limits=limits)
    assert again.action_id == row.action_id
    assert (again.run_id, again.limits) == (run, limits)
    assert again.precondition == {"last_build_at": "2"}
    assert again.proposed_at > row.proposed_at
    assert verify(ledger, ORG).ok


def test_a_request_of_an_erased_run_cannot_be_answered_and_is_asked_anew(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask", four_eyes=True)
    finish(ledger, run)
    erase_run(ledger, ORG, run, "ada", "asked to")
    # Without the name of who asked, everybody would be another person.
    with pytest.raises(Mistake, match="does not wait for an answer: it is expired"):
        approvals.approve(ledger, ORG, row.action_id, ADA)
    again = propose(ledger, live(ledger), verdict="ask", four_eyes=True)
    assert (again.state, again.payload) == ("waiting", {"selectors": ["tag:daily"]})
    with pytest.raises(Denied, match="four eyes are wanted"):
        approvals.approve(ledger, ORG, row.action_id, ADA)
    assert verify(ledger, ORG).ok


def test_an_approval_that_was_not_used_in_time_is_no_use(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask", expires_minutes=1)
    approvals.approve(ledger, ORG, row.action_id, ADA)
    backdate(ledger, row)
    with pytest.raises(Denied):
        claim(ledger, run, row)
    assert approvals.expire_due(ledger) == 1
    assert state(ledger, row) == "expired"


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


def test_a_second_stop_without_a_reason_keeps_the_first_and_resuming_twice_is_nothing(
    ledger: Ledger,
) -> None:
    live(ledger)
    assert approvals.resume(ledger, ORG, Review("bob")).is_on is False
    assert approvals.switch_of(ledger, ORG) is None
    first = approvals.halt(ledger, ORG, Review("ada", "moving house"))
    assert approvals.halt(ledger, ORG, Review("bob")) == first
    assert approvals.halt(ledger, ORG, Review("bob", "fire")).reason == "fire"
    done = approvals.resume(ledger, ORG, Review("bob"))
    assert approvals.resume(ledger, ORG, Review("eve")) == done
    assert verify(ledger, ORG).ok


def test_nothing_is_approved_while_effects_are_halted(ledger: Ledger) -> None:
    row = propose(ledger, live(ledger), verdict="ask")
    approvals.halt(ledger, ORG, Review("ada"))
    with pytest.raises(Denied, match="were stopped by ada: no reason given"):
        approvals.approve(ledger, ORG, row.action_id, BOB)
    assert state(ledger, row) == "waiting"
    approvals.resume(ledger, ORG, Review("ada"))
    assert approvals.approve(ledger, ORG, row.action_id, BOB).state == "allowed"


def test_a_yes_that_no_run_has_used_can_be_taken_back(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask", approvers=[ADA.who, BOB.who])
    approvals.approve(ledger, ORG, row.action_id, ADA)
    with pytest.raises(Denied, match="may not answer"):
        approvals.deny(ledger, ORG, row.action_id, Review("eve"))
    after = approvals.deny(ledger, ORG, row.action_id, BOB)
    assert (after.state, after.reviewed_by) == ("denied", BOB.who)
    with pytest.raises(Denied, match=f"it was denied by {BOB.who}"):
        claim(ledger, run, row)
    assert propose(ledger, run, verdict="ask", approvers=[ADA.who]).state == "denied"
    assert verify(ledger, ORG).ok


def test_a_claim_that_came_first_wins_over_taking_the_yes_back(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    approvals.approve(ledger, ORG, row.action_id, ADA)
    claim(ledger, run, row)
    with pytest.raises(Mistake, match=f"run '{run}' claimed it, and it is attempting"):
        approvals.deny(ledger, ORG, row.action_id, BOB)
    settle(ledger, run, row)
    with pytest.raises(Mistake, match="and it is done"):
        approvals.deny(ledger, ORG, row.action_id, BOB)
    # What policy alone allowed was no person's yes.
    allowed = propose(ledger, run, occasion={"n": 2})
    with pytest.raises(Mistake, match="does not wait for an answer: it is allowed"):
        approvals.deny(ledger, ORG, allowed.action_id, BOB)


@pytest.mark.parametrize("end", ["denied", "revoked", "expired"])
def test_what_was_turned_down_waits_again_once_it_is_reopened(ledger: Ledger, end: str) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask", expires_minutes=60, four_eyes=True)
    if end == "expired":
        backdate(ledger, row)
        approvals.expire_due(ledger)
        change(ledger, f"UPDATE actions SET expires_at = '{instant_text(row.expires_at)}'")
    if end == "revoked":
        approvals.approve(ledger, ORG, row.action_id, BOB)
    if end != "expired":
        approvals.deny(ledger, ORG, row.action_id, BOB)
    with pytest.raises(Denied, match="four eyes are wanted"):
        approvals.reopen(ledger, ORG, row.action_id, ADA)
    again = approvals.reopen(ledger, ORG, row.action_id, Review(BOB.who, "the wrong week"))
    assert (again.state, again.said) == ("waiting", f"reopened by {BOB.who}: the wrong week")
    assert (again.reviewed_by, again.signature, again.nonce_used) == (None, None, False)
    assert again.nonce != row.nonce
    assert again.expires_at is not None
    assert again.expires_at - again.proposed_at == timedelta(minutes=60)
    assert propose(ledger, run, verdict="ask").state == "waiting"
    approvals.approve(ledger, ORG, row.action_id, BOB)
    assert claim(ledger, run, row).state == "attempting"
    if end != "expired":
        assert verify(ledger, ORG).ok


def test_only_what_a_person_turned_down_is_reopened(ledger: Ledger) -> None:
    run = live(ledger)
    policys = propose(ledger, run, verdict="deny")
    with pytest.raises(Mistake, match="it is denied by policy"):
        approvals.reopen(ledger, ORG, policys.action_id, ADA)
    waiting = propose(ledger, run, verdict="ask", occasion={"n": 2})
    with pytest.raises(Mistake, match="was not turned down by a person: it is waiting"):
        approvals.reopen(ledger, ORG, waiting.action_id, ADA)
    approvals.deny(ledger, ORG, waiting.action_id, BOB)
    finish(ledger, run)
    erase_run(ledger, ORG, run, "ada", "asked to")
    with pytest.raises(Mistake, match="wanted by a run that is erased"):
        approvals.reopen(ledger, ORG, waiting.action_id, ADA)


def test_policy_that_was_changed_meanwhile_is_heard(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run)
    assert propose(ledger, run, verdict="ask").state == "waiting"
    assert propose(ledger, run, verdict="allow").state == "allowed"
    assert propose(ledger, run, verdict="deny").state == "denied"
    with pytest.raises(Denied):
        claim(ledger, run, row)
    # What policy denied, at the weekend for example, it may ask for or allow another day.
    assert propose(ledger, run, verdict="ask").state == "waiting"
    assert propose(ledger, run, verdict="deny").state == "denied"
    assert propose(ledger, run, verdict="allow").state == "allowed"
    asked = propose(ledger, run, verdict="ask", occasion={"n": 2})
    approvals.approve(ledger, ORG, asked.action_id, ADA)
    assert propose(ledger, run, verdict="ask", occasion={"n": 2}).state == "allowed"
    assert propose(ledger, run, verdict="deny", occasion={"n": 2}).state == "denied"


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
        assert [r.action_id for r in approvals.unstarted(ledger, ORG)] == [row.action_id]
        assert approvals.runs_ended(ledger, ORG, row.action_id) == count
        second = live(ledger, action_id=row.action_id)
        assert approvals.unstarted(ledger, ORG) == []
        finish(ledger, second, "crashed")
    assert approvals.unstarted(ledger, ORG) == []


def test_opening_the_ledger_expires_what_is_due(
    ledger: Ledger, open_home: Callable[[], Ledger]
) -> None:
    row = propose(ledger, live(ledger), verdict="ask")
    backdate(ledger, row)
    open_home()
    assert state(ledger, row) == "expired"
