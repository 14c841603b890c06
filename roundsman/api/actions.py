"""What agents did outside or were to do, what became of it, and the switch that halts it all."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from roundsman.api.access import Approver, Caller, House, Reader, TheHouse
from roundsman.api.problems import answered, documented, example
from roundsman.api.runs import find_run
from roundsman.api.words import ActionState, Body, Limit, Reason, RunId, Text, Word
from roundsman.approvals import resume
from roundsman.rules.request import wanted_as
from roundsman.store import approvals as kept
from roundsman.store import runs
from roundsman.store.records import ActionRow
from roundsman.store.undone import action_document, undone

LISTED_DEFAULT = 50

_ID = "9b2f6c0d1e3a4b5c"
_ACTION = {
    "action_id": _ID,
    "run_id": "5f0c6a0e-58f4-4c3b-9d0c-6f0f9a0f6f11",
    "agent": "warehouse_health",
    "action": "build",
    "target": "transform/prod",
    "payload": {"selectors": ["tag:daily"]},
    "state": "unknown",
    "reason": "3 models downstream, 20 allowed",
    "requested_by": "ann@example.org",
    "acting_run": "5f0c6a0e-58f4-4c3b-9d0c-6f0f9a0f6f11",
    "said": "its run ended before the answer came",
    "undone": None,
}
_WHOLE = _ACTION | {"wanted_as": ["the newest mail is 9 h old, 6 h are allowed"]}
_STOPPED = {
    "stopped": True,
    "who": "ann@example.org",
    "reason": "the warehouse is being moved",
    "since": "2025-10-17T10:30:00Z",
}
_RESUMED = _STOPPED | {
    "stopped": False,
    "reason": "moved",
    "was_stopped": True,
    "started": {_ID: "0e0e9f5c-0000-4000-8000-000000000001"},
}
_REFUSED = documented(401, 403, 415, 422)

router = APIRouter(prefix="/actions", tags=["actions"])


class Wanted(Body):
    """Which actions: all of them, unless something is named."""

    state: list[ActionState] = Field(default=[], max_length=8)
    agent: Word | None = None
    run_id: RunId | None = Field(default=None, description="Only what this run proposed or did")
    limit: Limit = LISTED_DEFAULT


class Settlement(Body):
    """What somebody found who looked outside."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"outcome": "done", "reason": "the table is there"}}
    )

    outcome: Literal["done", "not-done"]
    reason: Text | None = Field(default=None, description="How he knows; it stays in the ledger")


@router.get("", responses=example({"actions": [_ACTION]}) | documented(401, 403, 404, 422))
def list_actions(
    caller: Reader, house: TheHouse, wanted: Annotated[Wanted, Query()]
) -> dict[str, Any]:
    """List what agents did outside, or were to do, newest first."""
    whole = find_run(house.ledger, caller.org, wanted.run_id).run_id if wanted.run_id else None
    chosen = kept.Wanted(tuple(wanted.state), wanted.agent, whole, limit=wanted.limit)
    found = kept.list_actions(house.ledger, caller.org, chosen)
    taken_back = undone(house.ledger, caller.org, found)
    return {"actions": [action_document(row, taken_back) for row in found]}


# A fixed word is looked for before an id.
@router.get("/stop", responses=example(_STOPPED) | documented(401, 403))
def read_stop(caller: Reader, house: TheHouse) -> dict[str, Any]:
    """Tell whether all effects of the org are halted, by whom, why, and since when.

    Where they are not, the rest tells of the last resume, and is null where there was none.
    """
    return _switch(kept.switch_of(house.ledger, caller.org))


@router.post("/stop", responses=example(_STOPPED) | _REFUSED)
def stop_actions(caller: Approver, house: TheHouse, body: Reason | None = None) -> dict[str, Any]:
    """Halt every effect of the org: nothing new begins until `POST /actions/resume`.

    What has begun is not called back.
    """
    return _switch(kept.halt(house.ledger, caller.org, review_of(caller, body)))


@router.post("/resume", responses=example(_RESUMED) | _REFUSED | documented(503))
async def resume_actions(
    caller: Approver, house: TheHouse, body: Reason | None = None
) -> dict[str, Any]:
    """Let effects begin again, and start the runs of what was approved and not done meanwhile.

    `started` has the run of each such action.
    """
    return await to_thread.run_sync(_resume, caller, house, body, limiter=house.starts)


@router.get("/{action_id}", responses=example(_WHOLE) | documented(401, 403, 404, 422))
def read_action(caller: Reader, house: TheHouse, action_id: Word) -> dict[str, Any]:
    """Tell everything about one action: why, by whose word, what became of it."""
    with answered(404):
        row = kept.get_action(house.ledger, caller.org, action_id)
    return _whole(row, caller, house)


@router.post(
    "/{action_id}/settle",
    responses=example(_WHOLE | {"state": "done"}) | _REFUSED | documented(404, 409),
)
def settle_action(
    caller: Approver, house: TheHouse, action_id: Word, body: Settlement
) -> dict[str, Any]:
    """Say what became of an action whose answer was lost, after you looked outside."""
    with answered(404):
        key = kept.get_action(house.ledger, caller.org, action_id).action_id
    review, is_done = kept.Review(caller.name, body.reason), body.outcome == "done"
    with answered(409):
        row = kept.settle_by_hand(house.ledger, caller.org, key, is_done, review)
    return _whole(row, caller, house)


def review_of(caller: Caller, body: Reason | None) -> kept.Review:
    """Who decides, and why."""
    return kept.Review(caller.name, body.reason if body else None)


def _whole(row: ActionRow, caller: Caller, house: House) -> dict[str, Any]:
    proposed = runs.get_run(house.ledger, caller.org, row.run_id)
    quotes = {"wanted_as": wanted_as(row.action_id, proposed.artifacts)}
    return action_document(row, undone(house.ledger, caller.org, [row])) | quotes


def _resume(caller: Caller, house: House, body: Reason | None) -> dict[str, Any]:
    told = resume(house.ledger, caller.settings, review_of(caller, body), "api")
    return _switch(told.switch) | {"was_stopped": told.was_on, "started": told.runs}


def _switch(switch: kept.Switch | None) -> dict[str, Any]:
    if switch is None or not switch.who:
        return {"stopped": False, "who": None, "reason": None, "since": None}
    since = switch.changed_at.replace("+00:00", "Z")
    told = {"stopped": switch.is_on, "who": switch.who, "reason": switch.reason or None}
    return told | {"since": since}
