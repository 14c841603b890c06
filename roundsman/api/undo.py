"""How what a run did outside is taken back: what could be, and the run that does it."""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, StrictBool

from roundsman.api.access import Caller, Reader, TheHouse, Writer
from roundsman.api.execute import Key, Starts, TheStarts, begin
from roundsman.api.problems import answered, documented, example
from roundsman.api.runs import find_run
from roundsman.api.words import Body, RunId, Word
from roundsman.catalog import Order
from roundsman.store.records import AskedBy
from roundsman.store.undone import done_by, foresee

_ID = "5f0c6a0e-58f4-4c3b-9d0c-6f0f9a0f6f11"
_PREVIEW = {
    "run_id": _ID,
    "actions": [
        {
            "action_id": "9b2f6c0d1e3a4b5c",
            "action": "build",
            "target": "transform/prod",
            "state": "undoable",
            "said": "what would undo it was kept before it was done",
        }
    ],
}
_BEGUN = {"run_id": "0e0e9f5c-0000-4000-8000-000000000001", "undoes": _ID, "dry_run": False}

router = APIRouter(prefix="/agents/runs/{run_id}/undo", tags=["runs"])


class Undo(Body):
    """What of a run is taken back: all that can be, unless one action is named."""

    model_config = ConfigDict(json_schema_extra={"example": {"dry_run": True}})

    action_id: Word | None = Field(default=None, description="Only this one of its actions")
    dry_run: StrictBool = Field(
        default=False, description="Only say what would be undone and lost, and what cannot be"
    )


@router.get("", responses=example(_PREVIEW) | documented(401, 403, 404, 422))
def read_undo(caller: Reader, house: TheHouse, run_id: RunId) -> dict[str, Any]:
    """Tell which effects of a run could be taken back, the last one first, and why others not.

    `state` is `undoable`, `undone`, `unknown` (settle it first) or `not_kept`. It is what the
    ledger knows. What would be lost stands outside: `POST` with `dry_run` starts a run that looks
    there, and its `artifacts.undo` says so for each action.
    """
    row = find_run(house.ledger, caller.org, run_id)
    found = foresee(house.ledger, caller.org, row.run_id)
    return {"run_id": row.run_id, "actions": [one._asdict() for one in found]}


@router.post(
    "",
    status_code=202,
    responses=example(_BEGUN, 202, "A run that takes it back was started; Location says where")
    | documented(401, 403, 404, 409, 415, 422, 503),
)
async def undo_run(
    caller: Writer,
    starts: TheStarts,
    run_id: RunId,
    body: Undo | None = None,
    key: Key = None,
) -> Response:
    """Take back what a run did, where that is possible; the run that is started says what was not.

    The switch of `POST /actions/stop` holds for it too, and a policy that denies or asks.
    """
    asked = (run_id, body or Undo(), key)
    told = await to_thread.run_sync(_undo, asked, caller, starts, limiter=starts.house.starts)
    return JSONResponse(told, 202, {"Location": f"/agents/runs/{told['run_id']}"})


def _undo(asked: tuple[str, Undo, str | None], caller: Caller, starts: Starts) -> dict[str, Any]:
    run_id, body, key = asked
    row = find_run(starts.house.ledger, caller.org, run_id)
    # Seen here, so that nothing is started for what cannot be.
    with answered(409):
        done_by(starts.house.ledger, caller.org, row.run_id, body.action_id)
    params = {"run_id": row.run_id, "action_id": body.action_id}
    params |= {"dry_run": body.dry_run, "allow_actions": not body.dry_run}
    order = Order(
        agent_or_round="undo",
        params=params,
        asked_by=AskedBy(kind="api", name=caller.name),
        user_email=caller.user_email,
        key=key,
    )
    begun = begin(order, caller, starts)
    return {"run_id": begun, "undoes": row.run_id, "dry_run": body.dry_run}
