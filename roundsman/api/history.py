"""`GET /agents/history`: which runs there were."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from roundsman.api.access import Reader, TheHouse
from roundsman.api.problems import documented, example
from roundsman.api.words import Body, Day, Status, Word, ledger_statuses, status_word
from roundsman.errors import Mistake
from roundsman.store import runs
from roundsman.store.records import (
    HISTORY_ROWS_DEFAULT,
    HISTORY_ROWS_MAX,
    AuditRow,
    HistoryFilter,
    RunStatus,
)

OFFSET_MAX = 100_000_000
# Those of A-033 in its order, and then ours.
NAMES = (
    *("id", "agent_type", "objective", "status", "user_email", "started_at", "completed_at"),
    *("duration_seconds", "run_id", "round", "verdict", "dry_run", "created_at", "error_message"),
    *("asked_by", "ledger_status"),
)
_EXAMPLE = {
    "runs": [
        {
            "id": 123,
            "agent_type": "warehouse_health",
            "objective": "Check data freshness",
            "status": "success",
            "user_email": "ann@example.org",
            "started_at": "2025-10-17T10:30:00Z",
            "completed_at": "2025-10-17T10:30:03.456000Z",
            "duration_seconds": 3.456,
            "run_id": "5f0c6a0e-58f4-4c3b-9d0c-6f0f9a0f6f11",
            "round": "warehouse_health/emails-prod",
            "verdict": "healthy",
            "dry_run": True,
            "created_at": "2025-10-17T10:29:58Z",
            "error_message": None,
            "asked_by": {"kind": "api", "name": "ann@example.org"},
            "ledger_status": "success",
        }
    ],
    "total": 1,
}

router = APIRouter(tags=["runs"])


class Wanted(Body):
    """Which runs; both dates are UTC days that belong to the range."""

    agent_type: Word | None = None
    status: Status | None = None
    ledger_status: list[RunStatus] = Field(
        default=[], max_length=8, description="The ledger's own words, instead of `status`"
    )
    user_email: Word | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    limit: int = Field(default=HISTORY_ROWS_DEFAULT, ge=1, le=HISTORY_ROWS_MAX)
    offset: int = Field(default=0, ge=0, le=OFFSET_MAX)


@router.get("/agents/history", responses=example(_EXAMPLE) | documented(401, 403, 422))
def read_history(
    caller: Reader, house: TheHouse, wanted: Annotated[Wanted, Query()]
) -> dict[str, Any]:
    """List runs, newest first, and say how many match in all."""
    statuses = tuple(wanted.ledger_status) or ledger_statuses(wanted.status)
    if wanted.ledger_status and wanted.status is not None:
        raise Mistake("'status' and 'ledger_status' are both given", "give one of them")
    told = wanted.model_dump(exclude={"ledger_status"}) | {"status": statuses}
    chosen = HistoryFilter.model_validate(told)
    found, total = runs.history(house.ledger, caller.org, chosen)
    return {"runs": [_brief(row) for row in found], "total": total}


def _brief(row: AuditRow) -> dict[str, Any]:
    own = {"status": status_word(row.status), "ledger_status": row.status}
    told = row.model_dump(mode="json") | own
    return {name: told[name] for name in NAMES}
