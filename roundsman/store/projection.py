"""What the events of a run make of its rows: the one definition that writers and verify share."""

from __future__ import annotations

from typing import Any, NamedTuple

Row = dict[str, Any]

TIMES = ("created_at", "queued_at", "started_at", "completed_at")
DOCUMENTS = ("plan", "params", "artifacts", "error", "asked_by", "systems", "budget")
ASKED = ("agent_type", "round", "objective", "dry_run", "plan", "params", "code_version")
FROM_THE_DOOR = ("asked_by", "user_email", "parent_run_id", "retry_of", "action_id")
BUDGET = ("budget_ms", "budget_ops", "budget_mode")
COLUMNS = (
    "id",
    "run_id",
    *ASKED,
    *FROM_THE_DOOR,
    "idempotency_key",
    "status",
    "verdict",
    "artifacts",
    "error",
    "error_message",
    "systems",
    *TIMES,
    "duration_seconds",
    "attempt",
    "ops_count",
    "budget",
)
CLOSED = frozenset({"success", "failed", "crashed", "cancelled", "timed_out", "refused"})
# What becomes of steps that were still running when their run ended so.
STEP_LEFT_BEHIND = {"cancelled": "cancelled", "timed_out": "timed_out"}


class Happening(NamedTuple):
    """An event as it is read back, its payload parsed."""

    seq: int
    run_id: str
    attempt: int
    kind: str
    at: str
    payload: dict[str, Any]


def apply(row: Row | None, happening: Happening) -> Row | None:
    """Return the run's audit row after an event; None while nothing made one."""
    change = _CHANGES.get(happening.kind)
    return row if change is None else change(row, happening)


def left_behind(status: str) -> str:
    """Return the status of steps that were still running when their run ended with this one."""
    return STEP_LEFT_BEHIND.get(status, "crashed")


def _blank(happening: Happening) -> Row:
    row: Row = dict.fromkeys(COLUMNS)
    row.update(id=happening.seq, run_id=happening.run_id, created_at=happening.at)
    row.update(artifacts={}, systems={}, budget={}, attempt=0)
    return row


def _asked(row: Row, payload: dict[str, Any], names: tuple[str, ...]) -> None:
    row.update({name: payload.get(name) for name in names})
    row["budget"] = {name: payload.get(name) for name in BUDGET}


def _queued(row: Row | None, happening: Happening) -> Row:
    if row is None:
        row = _blank(happening)
        row["status"] = "queued"
        _asked(row, happening.payload, (*ASKED, *FROM_THE_DOOR))
    else:
        # A worker was quicker than the door; who asked is still the door's to say.
        row = row | {name: happening.payload[name] for name in _told(happening.payload)}
    # Only a run that was queued spends its key: a refused one may be asked for again.
    return row | {"queued_at": happening.at, "idempotency_key": happening.payload.get("key")}


def _told(payload: dict[str, Any]) -> list[str]:
    return [name for name in FROM_THE_DOOR if payload.get(name) is not None]


def _refused(row: Row | None, happening: Happening) -> Row:
    row = dict(row or _blank(happening))
    _asked(row, happening.payload, (*ASKED, *FROM_THE_DOOR))
    error: dict[str, Any] = happening.payload.get("error") or {}
    return row | {
        "status": "refused",
        "error": error,
        "error_message": error.get("message"),
        "completed_at": happening.at,
    }


def _started(row: Row | None, happening: Happening) -> Row:
    fresh = row is None
    row = dict(row or _blank(happening))
    _asked(row, happening.payload, (*ASKED, *FROM_THE_DOOR) if fresh else ASKED)
    row.update(
        status="running",
        attempt=happening.attempt,
        systems=happening.payload.get("systems") or {},
        started_at=row["started_at"] or happening.at,
    )
    return row


def _ended(row: Row | None, happening: Happening) -> Row | None:
    if row is None:
        return None
    payload = happening.payload
    error: dict[str, Any] | None = payload.get("error")
    return row | {
        "status": payload.get("status"),
        "verdict": payload.get("verdict"),
        "artifacts": payload.get("artifacts") or {},
        "error": error,
        "error_message": error.get("message") if error else None,
        "completed_at": happening.at,
        "duration_seconds": payload.get("duration_seconds"),
        "ops_count": payload.get("ops_count"),
        "budget": row["budget"] | {"status": payload.get("budget_status")},
    }


_CHANGES = {
    "run_queued": _queued,
    "run_refused": _refused,
    "run_started": _started,
    "run_finished": _ended,
    "run_failed": _ended,
}
