"""A permit is one effect at most: proposed, claimed, settled, and never beyond that."""

from __future__ import annotations

from typing import Any

import pytest

from roundsman.errors import Cancelled, Denied, Fenced, Mistake
from roundsman.store import Ledger, actions, approvals, runs
from roundsman.store.approvals import Review
from roundsman.store.erasure import erase_run
from roundsman.store.records import Claim, Kept, Settlement
from roundsman.store.sweep import sweep
from roundsman.store.verify import verify
from tests.store.permits import (
    ADA,
    BOB,
    LIVE,
    claim,
    live,
    propose,
    settle,
    state,
)
from tests.store.words import ORG, begin, change, child, finish, rows, said


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


def test_a_settlement_whose_answer_was_lost_is_told_again_and_written_once(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run)
    claim(ledger, run, row)
    settle(ledger, run, row, result={"models_run": 3})
    first = approvals.get_action(ledger, ORG, row.action_id)
    settle(ledger, run, row, result={"models_run": 3})
    assert approvals.get_action(ledger, ORG, row.action_id) == first
    for other in ("failed", "allowed", "expired"):
        with pytest.raises(Denied, match="not in the hands"):
            settle(ledger, run, row, other)


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


def test_a_changed_payload_under_an_old_approval_is_refused(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    approvals.approve(ledger, ORG, row.action_id, ADA)
    with pytest.raises(Denied, match="allowed with another payload"):
        claim(ledger, run, row, payload_sha256=actions.payload_hash({"selectors": ["*"]}))


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
from tests.store.permits import LIVE, claim, propose
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


def test_what_would_undo_an_effect_is_kept_before_it(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run)
    claim(ledger, run, row)
    kept = Kept(action_id=row.action_id, undo={"file": "copy.duckdb"})
    actions.keep_undo(ledger, ORG, run, 1, kept)
    kept = approvals.get_action(ledger, ORG, row.action_id)
    assert (kept.state, kept.undo) == ("attempting", {"file": "copy.duckdb"})
    assert verify(ledger, ORG).ok


def test_what_never_took_place_uses_up_no_window(ledger: Ledger) -> None:
    run = live(ledger)
    limits = {"per_window": 1, "window_seconds": 3600}
    moved = propose(ledger, run, limits=limits)
    claim(ledger, run, moved)
    settle(ledger, run, moved, "expired", said="'lines' was 3 and is 0 now")
    lost = propose(ledger, run, limits=limits, occasion={"n": 2})
    claim(ledger, run, lost)
    settle(ledger, run, lost, "unknown")
    third = propose(ledger, run, limits=limits, occasion={"n": 3})
    with pytest.raises(Denied, match="had 1 actions 'build'"):
        claim(ledger, run, third)
    found = approvals.settle_by_hand(ledger, ORG, lost.action_id, False, BOB)
    assert not actions.took_place(found)
    claim(ledger, run, third)
    settle(ledger, run, third, "failed")
    fourth = propose(ledger, run, limits=limits, occasion={"n": 4})
    with pytest.raises(Denied, match="had 1 actions 'build'"):
        claim(ledger, run, fourth)
    assert verify(ledger, ORG).ok


@pytest.mark.parametrize("status", ["success", "failed", "crashed"])
def test_what_policy_allowed_lapses_with_its_run_and_is_allowed_anew(
    ledger: Ledger, status: str
) -> None:
    run = live(ledger)
    row = propose(ledger, run)
    asked = propose(ledger, run, verdict="ask", occasion={"n": 2})
    approvals.approve(ledger, ORG, asked.action_id, ADA)
    finish(ledger, run, status)
    left = approvals.get_action(ledger, ORG, row.action_id)
    assert (left.state, left.said) == ("expired", "its run ended before it was used")
    # A person's yes waits for the run that it starts.
    assert state(ledger, asked) == "allowed"
    second = live(ledger)
    assert propose(ledger, second).state == "allowed"
    assert claim(ledger, second, row).state == "attempting"
    assert verify(ledger, ORG).ok


def test_the_sweep_lets_go_of_what_a_dead_process_was_allowed(ledger: Ledger, home: Any) -> None:
    code = """
import os
from tests.store.permits import LIVE, propose
from tests.store.words import begin
ledger = open_ledger(url, key, anchors)
row = propose(ledger, begin(ledger, **LIVE))
print(json.dumps(row.action_id), flush=True)
os._exit(0)
"""
    key = said(child(home, code))
    assert len(sweep(ledger)) == 1
    assert approvals.get_action(ledger, ORG, key).state == "expired"
    assert verify(ledger, ORG).ok


def test_a_permit_whose_reason_is_past_is_let_go(ledger: Ledger) -> None:
    run = live(ledger)
    row = propose(ledger, run, verdict="ask")
    told = Settlement(action_id=row.action_id, state="expired", said="the mart is fresh again")
    assert actions.withdraw(ledger, ORG, run, 1, told)
    assert not actions.withdraw(ledger, ORG, run, 1, told)
    with pytest.raises(Denied, match="the mart is fresh again"):
        claim(ledger, run, row)


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
    assert (left.state, left.context, left.review_note, left.payload) == ("expired", {}, None, {})
    assert not [r for r in rows(ledger, "SELECT payload FROM events") if "Jane" in str(r)]
    assert verify(ledger, ORG).ok
    erase_run(ledger, ORG, run, "ada", "once more")
    assert verify(ledger, ORG).ok
