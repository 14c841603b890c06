"""What is done with an answer that came through Prefect's form."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flows.operations.decide import decide
from roundsman.envelope import ledger_of
from roundsman.errors import Denied
from roundsman.settings import get_settings
from roundsman.store import approvals
from roundsman.store.records import ActionRow
from tests.store.permits import live, propose
from tests.store.words import ORG, finish

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("run_home")]


def waiting(**changed: Any) -> ActionRow:
    """A permit that waits, asked for by Ada."""
    ledger = ledger_of(get_settings())
    run = live(ledger)
    row = propose(ledger, run, verdict="ask", **changed)
    finish(ledger, run)
    return row


def answer(row: ActionRow, **params: Any) -> Any:
    given = {"action_id": row.action_id, "answer": "approve", "who": "ada@example.com"}
    return asyncio.run(decide.fn(given | params))


def now(row: ActionRow) -> ActionRow:
    return approvals.get_action(ledger_of(get_settings()), ORG, row.action_id)


def test_a_denial_is_written_down_with_the_name_that_was_typed() -> None:
    row = waiting()
    answer(row, answer="deny", note="not now")
    after = now(row)
    assert (after.state, after.review_note) == ("denied", "not now")
    assert after.reviewed_by == "ada@example.com (Prefect's form)"


@pytest.mark.covers("A-016")
def test_a_dry_run_answers_nothing() -> None:
    row = waiting()
    for word in ("approve", "deny"):
        told = answer(row, answer=word, dry_run=True).artifacts["answer"]
        assert told == {"action_id": row.action_id, "state": "waiting", "would": word}
    assert now(row).state == "waiting"


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"four_eyes": True}, "wants four eyes, and Prefect knows no people"),
        ({"approvers": ["ada@example.com"]}, "may not answer"),
    ],
)
def test_a_typed_name_is_no_second_person_and_nobody_whom_policy_names(
    rule: dict[str, Any], complaint: str
) -> None:
    row = waiting(**rule)
    with pytest.raises(Denied, match=complaint):
        answer(row)
    assert now(row).state == "waiting"
