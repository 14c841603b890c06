"""What a run did outside that a person may want taken back, and what of it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

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


class Foreseen(NamedTuple):
    """What the ledger knows of taking one action back.

    undoable: what would undo it was kept. not_kept: nothing was.
    """

    action_id: str
    action: str
    target: str
    state: Literal["undoable", "undone", "unknown", "not_kept"]
    said: str


def done_by(ledger: Ledger, org: str, run_id: str, action_id: str | None = None) -> list[ActionRow]:
    """What a run did outside, the last first: also what failed or was lost half-way.

    Of what is not known to be done, only what left something to undo it by. `action_id` may be
    the beginning of one. Raises Mistake where there is nothing of the kind.
    """
    found = _left_by(ledger, org, run_id)
    if action_id is not None:
        found = [row for row in found if row.action_id.startswith(action_id.lower())]
    if not found:
        what = f"action '{action_id}' of run" if action_id else "run"
        raise Mistake(
            f"{what} '{run_id}' did nothing outside that could be undone",
            f"see 'roundsman actions list --run {run_id[:8]}'",
        )
    return found


def _left_by(ledger: Ledger, org: str, run_id: str) -> list[ActionRow]:
    rows = list_actions(ledger, org, Wanted(run_id=run_id, limit=LISTED_MAX))
    found = [row for row in rows if row.acting_run == run_id and _left_something(row)]
    return sorted(found, key=lambda row: row.claimed_at or row.proposed_at, reverse=True)


def foresee(ledger: Ledger, org: str, run_id: str) -> list[Foreseen]:
    """What of a run could be taken back as far as the ledger knows, the last action first."""
    found = _left_by(ledger, org, run_id)
    before = undone(ledger, org, found)
    return [_foreseen(row, before.get(row.action_id)) for row in found]


def _foreseen(row: ActionRow, undoing: Undoing | None) -> Foreseen:
    named = (row.action_id, row.action, row.target)
    settled = settled_before(row, undoing)
    if settled is not None:
        return Foreseen(*named, *settled)
    if row.undo is None:
        said = f"'{row.action}' on '{row.target}' cannot be undone: nothing was kept for that"
        return Foreseen(*named, "not_kept", said)
    return Foreseen(*named, "undoable", "what would undo it was kept before it was done")


def settled_before(
    row: ActionRow, undoing: Undoing | None
) -> tuple[Literal["undone", "unknown"], str] | None:
    """Why there is nothing to try: it was taken back already, or nobody knows if it took place."""
    if undoing is not None:
        return "undone", f"it was undone by {undoing.said} already"
    if row.state == "unknown":
        settle = f"roundsman actions settle {row.action_id[:12]} done, or not-done"
        return "unknown", f"nobody knows yet whether it took place; say so: {settle}"
    return None


def action_document(row: ActionRow, taken_back: Mapping[str, Undoing]) -> dict[str, Any]:
    """A permit as a document; `undone` says by whom and which run it was taken back, or null.

    What makes its approval count is nobody's to read.
    """
    undoing = taken_back.get(row.action_id)
    told = row.model_dump(mode="json", exclude={"nonce", "signature"})
    return told | {"undone": undoing._asdict() if undoing else None}


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
