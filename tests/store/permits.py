"""What tests of permits say often: a wish, its permit, a claim, a settlement."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from roundsman.store import Ledger, actions, approvals
from roundsman.store.approvals import Review
from roundsman.store.records import ActionRow, Claim, Kept, Proposal, Settlement
from roundsman.store.tables import instant_text
from tests.store.words import ORG, begin, change, finish

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


def keep_done(ledger: Ledger) -> str:
    """A run that has ended and did something that can be undone; gives its id."""
    run_id = live(ledger)
    row = claim(ledger, run_id, propose(ledger, run_id, occasion={"watermark": "done"}))
    kept = Kept(action_id=row.action_id, undo={"file": "x.duckdb"})
    actions.keep_undo(ledger, ORG, run_id, 1, kept)
    settle(ledger, run_id, row)
    finish(ledger, run_id)
    return run_id
