"""How the rows of `agent_audit_log` are read and written, and with them a run's turning points."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from roundsman.rules.redaction import redact
from roundsman.store import metrics
from roundsman.store.chain import canonical
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import ENDS, chain_event, lock_head
from roundsman.store.projection import COLUMNS, DOCUMENTS, TIMES, Happening, Row, apply, left_behind
from roundsman.store.records import Event, Head

_SELECTED = ", ".join(f"{{text({name})}}" if name in TIMES else name for name in COLUMNS)
SELECT = f"SELECT {_SELECTED} FROM agent_audit_log WHERE org_id = :org AND run_id"
_INSERT = (
    f"INSERT INTO agent_audit_log (org_id, {', '.join(COLUMNS)})"
    f" VALUES (:org, {', '.join(f':{name}' for name in COLUMNS)})"
)
_UPDATE = (
    f"UPDATE agent_audit_log SET {', '.join(f'{name} = :{name}' for name in COLUMNS)}"
    " WHERE org_id = :org AND run_id = :run_id"
)
_LEAVE = (
    "UPDATE steps SET status = :status, ended_at = :at WHERE org_id = :org AND run_id = :run_id"
    " AND status = 'running'"
)


def read(connection: Connection, ledger: Ledger, org: str, run_id: str) -> Row | None:
    """Return a run's row with parsed documents and times as text, or None."""
    values = {"org": org, "run_id": run_id}
    found = ledger.execute(connection, f"{SELECT} = :run_id", values).first()
    return None if found is None else as_row(found)


def as_row(found: Iterable[Any]) -> Row:
    """Return what `SELECT` gave as a row that can be compared with a rebuilt one."""
    row: Row = dict(zip(COLUMNS, found, strict=True))
    for name in DOCUMENTS:
        # PostgreSQL parses its own documents, SQLite has them as text.
        if isinstance(row[name], (str, bytes)):
            row[name] = json.loads(row[name])
    row["dry_run"] = bool(row["dry_run"])
    return row


def enter(connection: Connection, ledger: Ledger, org: str, event: Event) -> Head:
    """Chain an event that turns a run, after bringing the run's rows to what it makes of them."""
    at = event.at or ledger.now(connection)
    text = canonical(redact(event.payload))
    payload: dict[str, Any] = json.loads(text)
    seq, _ = lock_head(connection, ledger, org)
    before = read(connection, ledger, org, event.run_id)
    happening = Happening(seq + 1, event.run_id, event.attempt, event.kind, at, payload)
    after = apply(before, happening)
    if after is not None and after != before:
        _write(connection, ledger, org, (after, before is None))
    if event.kind in ENDS and after is not None:
        _end(connection, ledger, org, (after, payload))
    return chain_event(connection, ledger, org, event._replace(at=at), text)


def leave_steps(
    connection: Connection, ledger: Ledger, org: str, row: dict[str, Any], status: str
) -> None:
    """Mark steps that nobody will end any more; `row` names `run_id` and the time `at`."""
    values = {"org": org, "run_id": row["run_id"], "at": row["at"], "status": status}
    ledger.execute(connection, _LEAVE, values)


def _end(
    connection: Connection, ledger: Ledger, org: str, ended: tuple[Row, dict[str, Any]]
) -> None:
    row, payload = ended
    closing = {"run_id": row["run_id"], "at": row["completed_at"]}
    leave_steps(connection, ledger, org, closing, left_behind(row["status"]))
    samples = metrics.run_samples(row["agent_type"], row["status"], row["duration_seconds"])
    samples += metrics.counted_samples(payload.get("counted", []))
    metrics.add(connection, ledger, org, samples)
    metrics.put(connection, ledger, org, metrics.marks(row))


def _write(connection: Connection, ledger: Ledger, org: str, change: tuple[Row, bool]) -> None:
    row, is_new = change
    values = row | {name: None if row[name] is None else canonical(row[name]) for name in DOCUMENTS}
    ledger.execute(connection, _INSERT if is_new else _UPDATE, values | {"org": org})
