"""Which effects of a run can be wanted back, and who has taken them back."""

from __future__ import annotations

import pytest

from roundsman.errors import Mistake
from roundsman.store import Ledger, actions, approvals
from roundsman.store.records import ActionRow, Kept
from roundsman.store.undone import done_by, undone
from tests.store.permits import BOB, claim, live, propose, settle
from tests.store.words import ORG

KEPT = {"file": "copy.duckdb"}


def acted(ledger: Ledger, run: str, state: str, number: int, kept: bool = True) -> ActionRow:
    """An action of the run that came to this state."""
    row = propose(ledger, run, occasion={"n": number}, target=f"transform/{number}")
    claim(ledger, run, row)
    if kept:
        told = Kept(action_id=row.action_id, undo=KEPT)
        actions.keep_undo(ledger, ORG, run, 1, told)
    settle(ledger, run, row, state)
    return row


def test_what_failed_half_way_can_be_wanted_back_where_something_was_kept(ledger: Ledger) -> None:
    run = live(ledger)
    done = acted(ledger, run, "done", 1, kept=False)
    half = acted(ledger, run, "failed", 2)
    acted(ledger, run, "failed", 3, kept=False)
    lost = acted(ledger, run, "unknown", 4)
    acted(ledger, run, "expired", 5)
    propose(ledger, run, occasion={"n": 6})
    found = [row.action_id for row in done_by(ledger, ORG, run)]
    # The last one first.
    assert found == [lost.action_id, half.action_id, done.action_id]
    assert [row.action_id for row in done_by(ledger, ORG, run, half.action_id[:8].upper())] == [
        half.action_id
    ]
    approvals.settle_by_hand(ledger, ORG, lost.action_id, False, BOB)
    assert done_by(ledger, ORG, run)[0].state == "failed"


def test_a_run_that_did_nothing_has_nothing_to_undo(ledger: Ledger) -> None:
    run, other = live(ledger), live(ledger)
    row = acted(ledger, run, "done", 1)
    with pytest.raises(Mistake, match=f"run '{other}' did nothing outside that could be undone"):
        done_by(ledger, ORG, other)
    with pytest.raises(Mistake, match="action 'ffffff' of run"):
        done_by(ledger, ORG, run, "ffffff")
    with pytest.raises(Mistake, match="did nothing"):
        done_by(ledger, "other", run, row.action_id)


def test_who_took_an_action_back_in_which_run_is_known(ledger: Ledger) -> None:
    run, second = live(ledger), live(ledger)
    row, other = acted(ledger, run, "done", 1), acted(ledger, run, "done", 2)
    assert undone(ledger, ORG, []) == undone(ledger, ORG, [row, other]) == {}
    undo = propose(
        ledger, second, action="undo_build", target=row.target, undoes=row.action_id, **BY_EVE
    )
    claim(ledger, second, undo)
    assert undone(ledger, ORG, [row, other]) == {}
    settle(ledger, second, undo)
    found = undone(ledger, ORG, [row, other])
    assert list(found) == [row.action_id]
    told = found[row.action_id]
    assert (told.by, told.run_id, told.action_id) == ("eve@example.com", second, undo.action_id)
    assert told.said == f"eve@example.com (run {second[:8]})"


BY_EVE = {"requested_by": "eve@example.com"}
