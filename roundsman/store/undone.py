"""What a run did outside that a person may want taken back, and what of it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from roundsman.errors import Mistake
from roundsman.store.actions import rows_where
from roundsman.store.approvals import LISTED_MAX, Wanted, list_actions
from roundsman.store.engine import Ledger
from roundsman.store.records import ActionRow

# More than anybody takes back on the targets of one list.
UNDOINGS_MAX = 10_000

_UNDOING = (
    " AND target IN ({targets}) AND state = 'done' AND undoes IS NOT NULL"
    " ORDER BY settled_at DESC LIMIT :limit"
)


class Undoing(NamedTuple):
    """By whom an action was taken back, in which run, by which action of its own."""

    by: str
    run_id: str
    action_id: str
    at: datetime | None

    @property
    def said(self) -> str:
        """Who and which run."""
        return f"{self.by} (run {self.run_id[:8]})"


def done_by(ledger: Ledger, org: str, run_id: str, action_id: str | None = None) -> list[ActionRow]:
    """What a run did outside, the last first: also what failed or was lost half-way.

    Of what is not known to be done, only what left something to undo it by. `action_id` may be
    the beginning of one. Raises Mistake where there is nothing of the kind.
    """
    rows = list_actions(ledger, org, Wanted(run_id=run_id, limit=LISTED_MAX))
    found = [row for row in rows if row.acting_run == run_id and _left_something(row)]
    if action_id is not None:
        found = [row for row in found if row.action_id.startswith(action_id.lower())]
    if not found:
        what = f"action '{action_id}' of run" if action_id else "run"
        raise Mistake(
            f"{what} '{run_id}' did nothing outside that could be undone",
            f"see 'roundsman actions list --run {run_id[:8]}'",
        )
    return sorted(found, key=lambda row: row.claimed_at or row.proposed_at, reverse=True)


def undone(ledger: Ledger, org: str, rows: Sequence[ActionRow]) -> dict[str, Undoing]:
    """Which of these actions were taken back, by id."""
    ids, targets = {row.action_id for row in rows}, sorted({row.target for row in rows})
    if not targets:
        return {}
    binds = {f"target_{number}": target for number, target in enumerate(targets)}
    condition = _UNDOING.format(targets=", ".join(f":{name}" for name in binds))
    values: dict[str, Any] = {**binds, "limit": UNDOINGS_MAX}
    with ledger.reading() as connection:
        found = list(rows_where(connection, ledger, org, (condition, values)))
    return {
        row.undoes: Undoing(row.requested_by, row.acting_run or "", row.action_id, row.settled_at)
        for row in found
        if row.undoes in ids
    }


def _left_something(row: ActionRow) -> bool:
    return row.state == "done" or (row.state in ("failed", "unknown") and row.undo is not None)
