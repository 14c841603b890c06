"""Letting go of the permit that a run was started for, where it is not wanted any more."""

from __future__ import annotations

from roundsman.agent import Run
from roundsman.store import actions
from roundsman.store.approvals import get_action
from roundsman.store.records import Settlement


def let_go(run: Run, action: str, target: str, why: str) -> None:
    """Withdraw the approved permit of this run if it is of that action, on what begins so.

    One of another kind is left to whoever asks for such effects. What was begun stays.
    """
    if run.action_id is None:
        return
    row = get_action(run.ledger, run.org, run.action_id)
    if row.action == action and row.target.startswith(target):
        told = Settlement(action_id=row.action_id, state="expired", said=f"no longer wanted: {why}")
        run.fenced(actions.withdraw, told)
