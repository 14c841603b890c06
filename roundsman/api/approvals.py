"""What waits for a person's answer, and the answer."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Response
from pydantic import Field

from roundsman.api.access import Approver, Caller, House, Reader, TheHouse
from roundsman.api.orders import run_of
from roundsman.api.problems import answered, documented, example
from roundsman.api.words import ActionState, Body, Limit, Note, Reason, Word
from roundsman.approvals import approve
from roundsman.errors import Mistake
from roundsman.store import Ledger
from roundsman.store import approvals as kept
from roundsman.store.records import ActionRow
from roundsman.store.undone import action_document, undone

LISTED_DEFAULT = 50

_ID = "9b2f6c0d1e3a4b5c"
_APPROVAL = {
    "action_id": _ID,
    "run_id": "5f0c6a0e-58f4-4c3b-9d0c-6f0f9a0f6f11",
    "agent": "warehouse_health",
    "action": "dbt_build",
    "target": "prod",
    "payload": {"models": ["tag:daily"]},
    "state": "waiting",
    "reason": "production is changed by people only",
    "requested_by": "ann@example.org",
    "expires_at": "2025-10-18T10:30:00Z",
    "undone": None,
}
_APPROVED = {"action_id": _ID, "state": "allowed", "run_id": "0e0e9f5c-0000-4000-8000-000000000001"}
_ANSWERED = documented(401, 403, 404, 409, 415, 422, 503)

router = APIRouter(prefix="/approvals", tags=["approvals"])


class Wanted(Body):
    """Which requests: those that wait, unless states are named or all are wanted."""

    state: list[ActionState] = Field(default=["waiting"], max_length=8)
    everything: bool = Field(default=False, description="In every state")
    agent: Word | None = None
    limit: Limit = LISTED_DEFAULT


@router.get("", responses=example({"approvals": [_APPROVAL]}) | documented(401, 403, 422))
def list_approvals(
    caller: Reader, house: TheHouse, wanted: Annotated[Wanted, Query()]
) -> dict[str, Any]:
    """List what was asked for, newest first."""
    states = () if wanted.everything else tuple(wanted.state)
    chosen = kept.Wanted(states, wanted.agent, was_asked=True, limit=wanted.limit)
    found = kept.list_actions(house.ledger, caller.org, chosen)
    taken_back = undone(house.ledger, caller.org, found)
    return {"approvals": [action_document(row, taken_back) for row in found]}


@router.get("/{action_id}", responses=example(_APPROVAL) | documented(401, 403, 404, 422))
def read_approval(caller: Reader, house: TheHouse, action_id: Word) -> dict[str, Any]:
    """Tell what exactly is asked for, why, and who may answer."""
    row = _find(house.ledger, caller.org, action_id)
    return action_document(row, undone(house.ledger, caller.org, [row]))


@router.post(
    "/{action_id}/approve",
    status_code=202,
    responses=example(_APPROVED, 202, "A run that acts was started") | _ANSWERED,
)
async def approve_action(
    response: Response,
    caller: Approver,
    house: TheHouse,
    action_id: Word,
    body: Note | None = None,
) -> dict[str, Any]:
    """Say yes, once: a new run looks again, acts if it is still needed, and reports."""
    told = (action_id, body or Note())
    document = await to_thread.run_sync(_approve, told, caller, house, limiter=house.starts)
    response.headers["Location"] = f"/agents/runs/{document['run_id']}"
    return document


@router.post("/{action_id}/deny", responses=example(_APPROVAL | {"state": "denied"}) | _ANSWERED)
def deny_action(
    caller: Approver, house: TheHouse, action_id: Word, body: Note | None = None
) -> dict[str, Any]:
    """Say no, or take back a yes that no run has used yet.

    The same action on the same occasion is not asked for again, until somebody reopens it.
    """
    row = _find(house.ledger, caller.org, action_id)
    with answered(409):
        row = kept.deny(house.ledger, caller.org, row.action_id, _review(caller, body))
    return action_document(row, {})


@router.post("/{action_id}/reopen", responses=example(_APPROVAL) | _ANSWERED)
def reopen_action(
    caller: Approver, house: TheHouse, action_id: Word, body: Reason | None = None
) -> dict[str, Any]:
    """Let a request that was denied, or that nobody answered in time, wait for an answer again."""
    row = _find(house.ledger, caller.org, action_id)
    review = kept.Review(caller.name, body.reason if body else None)
    with answered(409):
        row = kept.reopen(house.ledger, caller.org, row.action_id, review)
    return action_document(row, {})


def _approve(told: tuple[str, Note], caller: Caller, house: House) -> dict[str, Any]:
    action_id, body = told
    row = _find(house.ledger, caller.org, action_id)
    with answered(409), house.room.place() as keep:
        review = _review(caller, body)
        started = approve(house.ledger, caller.settings, row.action_id, review, "api")
        keep(started)
    return {"action_id": row.action_id, "state": "allowed", "run_id": run_of(started)}


def _find(ledger: Ledger, org: str, action_id: str) -> ActionRow:
    with answered(404):
        row = kept.get_action(ledger, org, action_id)
    if row.nonce is None:
        said = f"action '{row.action_id}' was never asked of a person"
        raise Mistake(said, "see /approvals?everything=true", status=404)
    return row


def _review(caller: Caller, body: Note | None) -> kept.Review:
    return kept.Review(caller.name, body.note if body else None)
