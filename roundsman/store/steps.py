"""What a run writes while it works: its steps, and whatever else is worth an event."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from roundsman.errors import Mistake
from roundsman.rules.redaction import redact
from roundsman.store.artifacts import Draft
from roundsman.store.chain import canonical
from roundsman.store.engine import Ledger
from roundsman.store.events import NOTES, chain_event
from roundsman.store.leases import fence
from roundsman.store.records import Event, Json, Note, StepBegin, StepEnd, StepSkip
from roundsman.store.tables import instant_text

_KEY = " WHERE org_id = :org AND run_id = :run_id AND attempt = :attempt AND step_index = :index"
_BEGIN = (
    "INSERT INTO steps (org_id, run_id, attempt, step_index, name, tries, status, began_at)"
    " VALUES (:org, :run_id, :attempt, :index, :name, :tries, 'running', :at)"
    " ON CONFLICT DO NOTHING"
)
_END = (
    "UPDATE steps SET status = :status, ended_at = :at, seconds = :seconds, error = :error"
    f"{_KEY} AND status = 'running'"
)
_SKIP = (
    "INSERT INTO steps (org_id, run_id, attempt, step_index, name, tries, status, ended_at, error)"
    " VALUES (:org, :run_id, :attempt, :index, :name, 0, 'skipped', :at, :error)"
    " ON CONFLICT DO NOTHING"
)
_RETRY = f"UPDATE steps SET tries = :tries{_KEY}"
_INTEND = (
    "INSERT INTO artifacts (org_id, run_id, path, state, bytes, sha256, intended_at)"
    " VALUES (:org, :run_id, :path, 'intended', :bytes, :sha256, :at)"
    " ON CONFLICT (org_id, run_id, path) DO UPDATE SET state = 'intended',"
    " bytes = excluded.bytes, sha256 = excluded.sha256, intended_at = excluded.intended_at,"
    " written_at = NULL"
)
_WRITTEN = (
    "UPDATE artifacts SET state = 'written', bytes = :bytes, sha256 = :sha256, written_at = :at"
    " WHERE org_id = :org AND run_id = :run_id AND path = :path"
)


def begin_step(ledger: Ledger, org: str, run_id: str, attempt: int, step: StepBegin) -> None:
    """Commit that a step is about to start; raises Fenced, and Mistake for a step begun twice."""
    payload: Json = {"index": step.index, "name": step.name, "tries": step.tries}
    if step.at is not None:
        payload["at"] = instant_text(step.at)
    text = _write(ledger, org, Event(run_id, attempt, "step_started", payload), _BEGIN)
    if not text:
        raise Mistake(f"step {step.index} '{step.name}' of run '{run_id}' was begun twice")


def end_step(ledger: Ledger, org: str, run_id: str, attempt: int, step: StepEnd) -> None:
    """Commit how a step ended; raises Fenced, and Mistake for a step that is not running."""
    kind = "step_finished" if step.status == "success" else "step_failed"
    payload = step.model_dump(mode="json")
    if not _write(ledger, org, Event(run_id, attempt, kind, payload), _END):
        raise Mistake(f"step {step.index} of run '{run_id}' is not running")


def skip_step(ledger: Ledger, org: str, run_id: str, attempt: int, step: StepSkip) -> None:
    """Commit that a planned step is not run; raises Fenced."""
    payload: Json = {
        "index": step.index,
        "name": step.name,
        "error": {"type": "Skipped", "message": step.reason},
    }
    if not _write(ledger, org, Event(run_id, attempt, "step_skipped", payload), _SKIP):
        raise Mistake(f"step {step.index} '{step.name}' of run '{run_id}' was begun already")


def note(ledger: Ledger, org: str, run_id: str, attempt: int, said: Note) -> None:
    """Commit any other event of a run; raises Fenced, and Mistake for a kind that is not noted."""
    if said.kind not in NOTES:
        raise Mistake(f"'{said.kind}' is not noted; known: {', '.join(sorted(NOTES))}")
    missing = [name for name in _NEEDED.get(said.kind, ()) if said.payload.get(name) is None]
    if missing:
        raise Mistake(f"a note '{said.kind}' needs {' and '.join(missing)}")
    event = Event(run_id, attempt, said.kind, said.payload)
    if not _write(ledger, org, event, _ROWS.get(said.kind)):
        raise Mistake(f"'{said.kind}' of run '{run_id}' follows nothing that was begun")


def publish(ledger: Ledger, org: str, run_id: str, attempt: int, draft: Draft) -> Path:
    """Put a file in its place and commit that it is there; raises Fenced, and Mistake for a file
    that nobody intended.

    Both under the fence: an attempt that was declared dead must not replace what its successor
    wrote, and whoever takes over meanwhile waits for the commit.
    """
    placed: list[Path] = []
    facts: Json = {
        "path": draft.path,
        "bytes": draft.content.bytes,
        "sha256": draft.content.sha256,
    }
    event = Event(run_id, attempt, "artifact_written", facts)
    if not _write(ledger, org, event, _WRITTEN, lambda: placed.append(draft.publish())):
        raise Mistake(f"file '{draft.path}' of run '{run_id}' was never intended")
    return placed[0]


_NEEDED = {
    "step_retried": ("index", "tries"),
    "artifact_intended": ("path",),
    "artifact_written": ("path",),
}
_ROWS = {"step_retried": _RETRY, "artifact_intended": _INTEND, "artifact_written": _WRITTEN}
_BLANK: Json = dict.fromkeys(("tries", "name", "status", "seconds", "path", "bytes", "sha256"))


def _write(
    ledger: Ledger,
    org: str,
    event: Event,
    statement: str | None,
    act: Callable[[], object] | None = None,
) -> bool:
    """Write the row and the event in one transaction; False where the row was not there.

    `act` is done as the last thing before the commit.
    """
    payload = redact(event.payload)
    text = canonical(payload)
    values: dict[str, Any] = {**_BLANK, **payload, "org": org, "run_id": event.run_id}
    values["attempt"] = event.attempt
    error = payload.get("error")
    values["error"] = None if error is None else canonical(error)
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, event.run_id, event.attempt)
        values["at"] = payload.get("at", at) if event.kind == "step_started" else at
        if statement and not ledger.execute(connection, statement, values).rowcount:
            return False
        chain_event(connection, ledger, org, event._replace(at=at), text)
        if act:
            act()
    return True
