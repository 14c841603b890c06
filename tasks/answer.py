"""What is done with a person's answer that came through Prefect's form."""

from __future__ import annotations

from typing import Any, Literal

from roundsman import approvals
from roundsman.agent import current, step
from roundsman.errors import Denied
from roundsman.settings import get_settings
from roundsman.store import approvals as ledger_of_approvals
from roundsman.store.approvals import Review

# Prefect's server knows no people: the name is what somebody typed.
UNVERIFIED = "(Prefect's form)"


@step
def answer_request(
    action_id: str, answer: Literal["approve", "deny"], who: str, note: str
) -> dict[str, Any]:
    """Give the answer; a yes starts the run that acts. Returns what a reader wants to know.

    In a dry run nothing is answered. Denied where policy wants four eyes: nobody knows whose a
    name is that was only typed.
    """
    run, review = current(), Review(f"{who.strip()} {UNVERIFIED}", note or None)
    row = ledger_of_approvals.get_action(run.ledger, run.org, action_id)
    if run.dry_run:
        return {"action_id": row.action_id, "state": row.state, "would": answer}
    if answer == "approve" and row.four_eyes:
        raise Denied(
            f"action '{row.action_id[:12]}' wants four eyes, and Prefect knows no people",
            "answer it with 'roundsman approvals approve'",
        )
    if answer == "deny":
        row = ledger_of_approvals.deny(run.ledger, run.org, row.action_id, review)
        return {"action_id": row.action_id, "state": row.state}
    started = approvals.approve(run.ledger, get_settings(), row.action_id, review)
    told = started.queued()
    return {"action_id": row.action_id, "state": "allowed", "started": told}
