"""One run: what it found, what it did when, and how it is stopped."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter, Query
from pydantic import Field

from roundsman.api.access import Reader, TheHouse, Writer
from roundsman.api.problems import answered, documented, example
from roundsman.api.words import OPEN, PAGE_MAX, Body, RunId, own_names, status_word, whole_run
from roundsman.errors import Mistake
from roundsman.store import Ledger, runs
from roundsman.store.events import read_events
from roundsman.store.records import AuditRow, EventRow, StepRow

SEQ_MAX = 2**53

_ID = "5f0c6a0e-58f4-4c3b-9d0c-6f0f9a0f6f11"
_RUN = {
    "run_id": _ID,
    "status": "success",
    "started_at": "2025-10-17T10:30:00Z",
    "completed_at": "2025-10-17T10:30:03.456000Z",
    "duration_seconds": 3.456,
    "artifacts": {"summary": {"status": "healthy"}},
    "agent_type": "warehouse_health",
    "round": "warehouse_health/emails-prod",
    "verdict": "healthy",
    "dry_run": True,
    "links": {"self": f"/agents/runs/{_ID}", "timeline": f"/agents/runs/{_ID}/timeline"},
}
_TIMELINE: dict[str, Any] = {
    "run_id": _ID,
    "status": "success",
    "steps": [{"index": 0, "name": "query_es_daily", "status": "success", "seconds": 0.25}],
    "events": [{"seq": 7, "kind": "run_started", "at": "2025-10-17T10:30:00Z", "payload": {}}],
    "next_after": None,
}

router = APIRouter(prefix="/agents/runs/{run_id}", tags=["runs"])


class Page(Body):
    """Which of a run's events: those after this one."""

    after: int = Field(default=0, ge=0, le=SEQ_MAX, description="The `seq` of the last one seen")
    limit: int = Field(default=PAGE_MAX, ge=1, le=PAGE_MAX)


def find_run(ledger: Ledger, org: str, run_id: str) -> AuditRow:
    """A run of the caller's org; others' are as unknown to him as those that never were."""
    with answered(404):
        return runs.get_run(ledger, org, run_id)


@router.get("", responses=example(_RUN) | documented(401, 403, 404, 422))
def read_run(caller: Reader, house: TheHouse, run_id: RunId) -> dict[str, Any]:
    """Tell of one run, while it works and after."""
    return whole_run(find_run(house.ledger, caller.org, run_id), caller.is_admin)


@router.get("/timeline", responses=example(_TIMELINE) | documented(401, 403, 404, 422))
def read_timeline(
    caller: Reader, house: TheHouse, run_id: RunId, page: Annotated[Page, Query()]
) -> dict[str, Any]:
    """Tell a run's steps, and its events in the order in which they happened.

    Where there are more, `next_after` is what to give as `after` for the next page.
    """
    row = find_run(house.ledger, caller.org, run_id)
    steps = runs.steps(house.ledger, caller.org, row.run_id)
    events = read_events(house.ledger, caller.org, page.after, row.run_id, page.limit)
    return {
        "run_id": row.run_id,
        "status": status_word(row.status),
        "steps": [_step(step, caller.is_admin) for step in steps],
        "events": [_event(event, caller.is_admin) for event in events],
        "next_after": events[-1].seq if len(events) == page.limit else None,
    }


@router.post(
    "/cancel",
    status_code=202,
    responses=example({"run_id": _ID, "cancel_requested": True}, 202, "It was asked to stop")
    | documented(401, 403, 404, 409, 415, 422),
)
def cancel_run(
    caller: Writer, house: TheHouse, run_id: RunId, body: Body | None = None
) -> dict[str, Any]:
    """Ask a run to stop; it does so at its next step or operation."""
    row = find_run(house.ledger, caller.org, run_id)
    if row.status not in OPEN:
        said = f"run '{row.run_id}' has ended as {row.status}"
        raise Mistake(said, "nothing is to be cancelled", status=409)
    with answered(409):
        runs.request_cancel(house.ledger, caller.org, row.run_id, caller.name)
    return {"run_id": row.run_id, "cancel_requested": True}


def _step(step: StepRow, with_stack: bool) -> dict[str, Any]:
    told = step.model_dump(mode="json", exclude={"run_id"})
    return told | {"error": _bare(told["error"], with_stack)}


def _event(event: EventRow, with_stack: bool) -> dict[str, Any]:
    told = event._asdict()
    payload = dict(event.payload or {})
    if "error" in payload:
        payload["error"] = _bare(payload["error"], with_stack)
    if isinstance(payload.get("artifacts"), dict):
        payload["artifacts"] = own_names(payload["artifacts"])
    told.pop("run_id")
    return told | {"payload": None if event.payload is None else payload}


def _bare(error: Any, with_stack: bool) -> Any:
    """An error without its stack, unless the caller may see it."""
    if with_stack or not isinstance(error, dict):
        return error
    told = cast("dict[str, Any]", error)
    return {name: value for name, value in told.items() if name != "traceback"}
