"""Which rounds there are, how each went last, and when it starts next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from roundsman import catalog
from roundsman.api.access import Reader, TheHouse
from roundsman.api.problems import documented, example
from roundsman.api.words import status_word
from roundsman.rules.redaction import redact
from roundsman.rules.schedule import next_start
from roundsman.store.history import last_runs
from roundsman.store.records import AuditRow

_LAST = {
    "run_id": "5f0c6a0e-58f4-4c3b-9d0c-6f0f9a0f6f11",
    "status": "success",
    "verdict": "healthy",
    "dry_run": True,
    "created_at": "2025-10-17T10:29:58Z",
    "completed_at": "2025-10-17T10:30:03.456000Z",
}
_ROUND = {
    "name": "warehouse_health/emails-prod",
    "agent": "warehouse_health",
    "description": "The production mails",
    "params": {"days": 14},
    "schedules": [{"cron": "0 6 * * *", "timezone": "UTC"}],
    "next_start": "2025-10-18T06:00:00Z",
    "last_run": _LAST,
}

router = APIRouter(tags=["agents"])


@router.get("/rounds", responses=example({"rounds": [_ROUND]}) | documented(401, 403))
def list_rounds(caller: Reader, house: TheHouse) -> dict[str, Any]:
    """List the rounds of agents; `next_start` is null where no schedule in force names one.

    So it is for an interval without `anchor_date`, which counts from when Prefect first saw it.
    """
    operations = {card.name for card in catalog.cards() if card.operation}
    found = [one for one in catalog.rounds() if one.agent not in operations]
    last = last_runs(house.ledger, caller.org, [(one.agent, one.full_name) for one in found])
    now = datetime.now(UTC)
    return {"rounds": [_document(one, last.get(one.full_name), now) for one in found]}


def _document(one: catalog.Round, last: AuditRow | None, now: datetime) -> dict[str, Any]:
    start = next_start(one.schedules, now)
    return {
        "name": one.full_name,
        "agent": one.agent,
        "description": one.description,
        "params": redact(dict(one.params)),
        "schedules": list(one.schedules),
        "next_start": None if start is None else f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "last_run": None if last is None else _brief(last),
    }


def _brief(row: AuditRow) -> dict[str, Any]:
    told = row.model_dump(mode="json") | {"status": status_word(row.status)}
    return {name: told[name] for name in _LAST}
