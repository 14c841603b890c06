"""What the API says of runs, in the words of the specification and with times that end in Z."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from roundsman.store.records import AuditRow, RunStatus

Status = Literal["success", "failed", "running", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)

WORD_CHARACTERS_MAX = 200
TEXT_CHARACTERS_MAX = 10_000
PAGE_MAX = 1_000
# The last day whose next midnight is a date too.
LAST_DAY = date(9998, 12, 31)
OPEN = ("queued", "running")

ActionState = Literal[
    "waiting", "allowed", "attempting", "done", "failed", "unknown", "denied", "expired"
]

_WORDS: dict[RunStatus, Status] = {
    "queued": "running",
    "running": "running",
    "success": "success",
    "failed": "failed",
    "crashed": "failed",
    "timed_out": "failed",
    "refused": "failed",
    "cancelled": "cancelled",
}


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold a NUL character")
    return value


def _plain_day(value: object) -> object:
    if isinstance(value, date) or re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value)):
        return value
    raise ValueError("must be a date, as 2026-01-31")


Text = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX), AfterValidator(_storable)]
Word = Annotated[
    str, Field(min_length=1, max_length=WORD_CHARACTERS_MAX), AfterValidator(_storable)
]
Day = Annotated[date, Field(le=LAST_DAY), BeforeValidator(_plain_day)]
RunId = Annotated[str, Field(min_length=6, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX, description="At most so many")]


class Body(BaseModel):
    """What a caller sends: a field that is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Note(Body):
    """Why somebody decides as he does; it stays in the ledger."""

    model_config = ConfigDict(json_schema_extra={"example": {"note": "agreed with the data team"}})

    note: Text | None = None


class Reason(Body):
    """Why somebody turns a switch or asks anew; it stays in the ledger."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "the warehouse is moved"}})

    reason: Text | None = None


def status_word(status: RunStatus) -> Status:
    """The API's word for a run's status (F1)."""
    return _WORDS[status]


def ledger_statuses(word: Status | None) -> tuple[RunStatus, ...] | None:
    """What the ledger calls that; None: every status."""
    return None if word is None else tuple(own for own, told in _WORDS.items() if told == word)


def own_names(artifacts: Mapping[str, Any], agent: str | None = None) -> dict[str, Any]:
    """What an agent gave back, with its files named as `/agents/artifacts/{agent}/{file}` does.

    Where the server keeps them is nobody's business but its own.
    """
    files = artifacts.get("files")
    if not isinstance(files, dict):
        return dict(artifacts)
    named = cast("dict[str, Any]", files).items()
    return {**artifacts, "files": {kind: _own_name(path, agent) for kind, path in named}}


def _own_name(path: Any, agent: str | None) -> Any:
    if not isinstance(path, str) or not path.startswith("/"):
        return path
    below = path.rpartition(f"/{agent}/")[2] if agent else path
    return below if below != path else path.rpartition("/")[2]


def run_document(row: AuditRow, with_stack: bool) -> dict[str, Any]:
    """A run as `POST /agents/execute` answers it: A-022 to A-024, and what it cost."""
    told = row.model_dump(mode="json")
    document: dict[str, Any] = {
        "run_id": row.run_id,
        "status": status_word(row.status),
        **{name: told[name] for name in ("started_at", "completed_at", "duration_seconds")},
    }
    artifacts = own_names(row.artifacts, row.agent_type)
    if row.error is None:
        document["artifacts"] = artifacts
    else:
        document["error"] = _error(row.error, with_stack)
        # A run that was cut off may have found something before.
        document |= {"artifacts": artifacts} if artifacts else {}
    names = ("agent_type", "round", "verdict", "dry_run", "ops_count")
    document |= {name: told[name] for name in names}
    document["duration_ms"] = _milliseconds(row.duration_seconds)
    document["budget_status"] = row.budget.get("status")
    return document


def whole_run(row: AuditRow, with_stack: bool) -> dict[str, Any]:
    """A run with who asked for what, and where to see more of it."""
    told = row.model_dump(mode="json")
    names = (
        *("objective", "plan", "params", "user_email", "asked_by", "code_version", "attempt"),
        *("parent_run_id", "retry_of", "action_id", "created_at", "queued_at", "id", "org_id"),
        *("error_message", "systems", "budget", "idempotency_key"),
    )
    here = f"/agents/runs/{row.run_id}"
    links = {"self": here, "timeline": f"{here}/timeline"}
    links["events"] = f"/agents/events?run_id={row.run_id}"
    own = {"ledger_status": row.status}
    return run_document(row, with_stack) | own | {n: told[n] for n in names} | {"links": links}


def _error(error: Mapping[str, Any], with_stack: bool) -> dict[str, Any]:
    told = {name: error.get(name) for name in ("type", "message", "step")}
    return told | {"traceback": error.get("traceback") if with_stack else None}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
