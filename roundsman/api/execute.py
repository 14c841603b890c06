"""`POST /agents/execute`: an agent runs, and the answer is what it found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Request, Response

from roundsman import catalog
from roundsman.api.access import Anybody, Caller, House, TheHouse
from roundsman.api.orders import Execution, Unstarted, order_of, record_unstarted, run_of
from roundsman.api.problems import documented, example
from roundsman.api.replays import served_before
from roundsman.api.words import OPEN, run_document
from roundsman.errors import Unready
from roundsman.spare import Spare
from roundsman.store import runs
from roundsman.store.records import KEY_CHARACTERS_MAX, AuditRow

LOOK_SECONDS_FIRST = 0.05
LOOK_SECONDS_MAX = 0.5

_ID = "5f0c6a0e-58f4-4c3b-9d0c-6f0f9a0f6f11"
_DONE = {
    "run_id": _ID,
    "status": "success",
    "started_at": "2025-10-17T10:30:00Z",
    "completed_at": "2025-10-17T10:30:03.456000Z",
    "duration_seconds": 3.456,
    "artifacts": {"summary": {"status": "healthy"}},
    "agent_type": "warehouse_health",
    "round": None,
    "verdict": "healthy",
    "dry_run": True,
    "ops_count": 6,
    "duration_ms": 3456,
    "budget_status": {
        "exceeded": False,
        "time_limit": 60000,
        "time_used": 3456,
        "ops_limit": 100,
        "ops_used": 6,
    },
}
_LATER = {"run_id": _ID, "status": "running", "started_at": "2025-10-17T10:30:00Z"}

_READS = {
    "name": "warehouse_health/emails-prod",
    "plan": ["query_es_daily", "query_bq_daily"],
    "readings": [
        {"system": "search/prod", "what": "emails-*", "why": "mails a day", "rows": 12000}
    ],
}


class Starts(NamedTuple):
    """Where runs are written down, what begins them, and whether who asks has left."""

    house: House
    spare: Spare
    is_left: Callable[[], Awaitable[bool]]


def _starts_of(request: Request, house: TheHouse) -> Starts:
    return Starts(house, request.app.state.spare, request.is_disconnected)


TheStarts = Annotated[Starts, Depends(_starts_of)]

router = APIRouter(tags=["runs"])

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_CHARACTERS_MAX,
        description="Given twice, it starts one run and answers with that",
    ),
]


@router.post(
    "/agents/execute",
    responses=example(_DONE)
    | example(_LATER, 202, "It goes on; Location says where to look")
    | documented(401, 403, 404, 409, 413, 415, 422, 429, 503),
)
async def execute_agent(
    response: Response, caller: Anybody, starts: TheStarts, body: Execution, key: Key = None
) -> dict[str, Any]:
    """Start a run in a process of its own and wait for its end.

    A dry run needs no key at this machine as long as there is none; a live one always does. What
    the agent's own checks refuse is a row of the ledger, and the answer names it by `run_id`.
    """
    run_id = await to_thread.run_sync(
        _start, (body, key), caller, starts, limiter=starts.house.starts
    )
    return await _answer(response, run_id, caller, (starts, body.wait_seconds))


@router.post(
    "/agents/explain",
    responses=example(_DONE | {"agent_type": "explain", "artifacts": _READS})
    | example(_LATER, 202, "It goes on; Location says where to look")
    | documented(401, 403, 404, 409, 413, 415, 422, 429, 503),
)
async def explain_agent(
    response: Response, caller: Anybody, starts: TheStarts, body: Execution
) -> dict[str, Any]:
    """Look up what a run would read, and about how much of it; that run itself does not happen.

    The answer is that of a run that asks the systems and reads none of their rows.
    """
    run_id = await to_thread.run_sync(_explain, body, caller, starts, limiter=starts.house.starts)
    return await _answer(response, run_id, caller, (starts, body.wait_seconds))


async def _answer(
    response: Response, run_id: str, caller: Caller, waiting: tuple[Starts, float]
) -> dict[str, Any]:
    row = await _end_of(run_id, caller, waiting)
    if row.status in OPEN:
        response.status_code = 202
    response.headers["Location"] = f"/agents/runs/{run_id}"
    return run_document(row, caller.is_admin)


def _explain(body: Execution, caller: Caller, starts: Starts) -> str:
    order = order_of(body, caller, starts.house.ledger)
    params = {"name": order.agent_or_round, "given": dict(order.params)}
    return begin(
        order._replace(agent_or_round="explain", params=params, retry_of=None), caller, starts
    )


def _start(asked: tuple[Execution, str | None], caller: Caller, starts: Starts) -> str:
    body, key = asked
    return begin(order_of(body, caller, starts.house.ledger)._replace(key=key), caller, starts)


def begin(order: catalog.Order, caller: Caller, starts: Starts) -> str:
    """Have an order carried out; gives the run's id once it stands in the ledger.

    Raises what it was refused for, and Unready where no process can be started. What was served
    before is answered without one.
    """
    before = served_before(starts.house.ledger, caller.org, order)
    if before is not None:
        return before
    with starts.house.room.place() as keep:
        return _begin(order, caller, (starts, keep))


def _begin(
    order: catalog.Order, caller: Caller, place: tuple[Starts, Callable[[catalog.Started], None]]
) -> str:
    starts, keep = place
    try:
        child = starts.spare.start(order, caller.settings)
        keep(child)
        # It says no more that is waited for: how it ends stands in the ledger.
        run_id = run_of(child)
    except Unready as error:
        # It died with the order in its hands, or never was.
        run_id = record_unstarted(starts.house.ledger, caller.org, order, error)
        raise Unstarted(error.said, error.remedy, run_id) from error
    with suppress(OSError):
        starts.spare.fill(caller.settings)
    return run_id


async def _end_of(run_id: str, caller: Caller, waiting: tuple[Starts, float]) -> AuditRow:
    """The run's row when it has ended, or after so many seconds; nobody left is waited for."""
    starts, seconds = waiting
    until, pause = time.monotonic() + seconds, LOOK_SECONDS_FIRST
    while True:
        row = await to_thread.run_sync(runs.get_run, starts.house.ledger, caller.org, run_id)
        left = until - time.monotonic()
        if row.status not in OPEN or left <= 0 or await starts.is_left():
            return row
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LOOK_SECONDS_MAX)
