"""How an event enters the chain, and how a reader follows it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from roundsman.errors import Mistake
from roundsman.rules.redaction import redact
from roundsman.store import chain
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger, foreign_key
from roundsman.store.records import Event, EventRow, Head

PAYLOAD_CHARACTERS_MAX = 2_000_000
EVENTS_READ_MAX = 10_000

ENDS = frozenset({"run_finished", "run_failed", "run_refused"})
LIFECYCLE = ENDS | {
    "run_queued",
    "run_started",
    "step_started",
    "step_finished",
    "step_failed",
    "step_skipped",
    "cancel_requested",
    "run_erased",
}
NOTES = frozenset(
    {"gap", "step_retried", "artifact_intended", "artifact_written", "budget_exceeded"}
)
# Beside these there are the kinds of the keyed tables, see keyed_check.

_HEAD = "SELECT seq, hash, key_id FROM chain_heads WHERE org_id = :org{lock}"
_FIRST = (
    "INSERT INTO chain_heads (org_id, seq, hash, key_id) VALUES (:org, 0, :hash, :key_id)"
    " ON CONFLICT DO NOTHING"
)
_INSERT = (
    "INSERT INTO events (org_id, seq, run_id, attempt, kind, at, payload, payload_sha256, hash)"
    " VALUES (:org, :seq, :run_id, :attempt, :kind, :at, :payload, :sha, :hash)"
)
_MOVE = "UPDATE chain_heads SET seq = :seq, hash = :hash WHERE org_id = :org{tell}"
_HEADS = "SELECT org_id, seq FROM chain_heads"
_END = (
    "SELECT max(seq) FROM events WHERE org_id = :org AND run_id = :run_id"
    f" AND kind IN ({', '.join(repr(kind) for kind in sorted(ENDS))})"
)
_READ = (
    "SELECT seq, run_id, attempt, kind, at, payload FROM events"
    " WHERE org_id = :org AND seq > :after{of_run} ORDER BY seq LIMIT :limit"
)


def append(connection: Connection, ledger: Ledger, org: str, event: Event) -> int:
    """Chain one event and return its number; the last act of a short transaction.

    The payload is redacted before it is hashed. Raises Mistake for a payload of more than
    2,000,000 characters.
    """
    at = event.at or ledger.now(connection)
    payload = chain.canonical(redact(event.payload))
    return chain_event(connection, ledger, org, event._replace(at=at), payload).seq


def lock_head(connection: Connection, ledger: Ledger, org: str) -> tuple[int, str]:
    """Return number and hash of an org's newest event; nobody else appends until we commit.

    Raises Mistake where the org's chain was begun with another key than this ledger's.
    """
    own = chain.key_id(ledger.key)
    row = ledger.execute(connection, _HEAD, {"org": org}).first()
    if row is None:
        start = {
            "org": org,
            "hash": chain.genesis(ledger.key, org),
            "key_id": own,
        }
        ledger.execute(connection, _FIRST, start)
        row = ledger.execute(connection, _HEAD, {"org": org}).one()
    if row[2] != own:
        raise foreign_key(ledger)
    return row[0], row[1]


def chain_event(
    connection: Connection, ledger: Ledger, org: str, event: Event, payload: str
) -> Head:
    """Append an event whose redacted payload is already spelled out; return the new head."""
    if len(payload) > PAYLOAD_CHARACTERS_MAX:
        raise Mistake(
            f"event '{event.kind}' of run '{event.run_id}' carries {len(payload)} characters,"
            f" more than {PAYLOAD_CHARACTERS_MAX}",
            "write large results as artifacts",
        )
    at = event.at or ledger.now(connection)
    seq, previous = lock_head(connection, ledger, org)
    seq, sha = seq + 1, chain.sha256(payload)
    fields = tuple(
        str(part).encode() for part in (seq, event.run_id, event.attempt, event.kind, at, sha)
    )
    digest = chain.link(ledger.key, previous.encode(), fields)
    row = {
        "org": org,
        "seq": seq,
        "run_id": event.run_id,
        "attempt": event.attempt,
        "kind": event.kind,
        "at": at,
        "payload": payload,
        "sha": sha,
        "hash": digest,
    }
    ledger.execute(connection, _INSERT, row)
    ledger.execute(connection, _MOVE, {"org": org, "seq": seq, "hash": digest})
    return Head(seq, digest, at)


def read_heads(ledger: Ledger) -> dict[str, int]:
    """Return the number of the newest event of every org that has one."""
    with ledger.reading() as connection:
        return {str(org): int(seq) for org, seq in ledger.execute(connection, _HEADS, {})}


def read_end(ledger: Ledger, org: str, run_id: str) -> int | None:
    """Return the number of the event that ended a run, None while it goes on."""
    with ledger.reading() as connection:
        return ledger.execute(connection, _END, {"org": org, "run_id": run_id}).scalar()


def read_events(
    ledger: Ledger, org: str, after: int = 0, run_id: str | None = None, limit: int = 1000
) -> list[EventRow]:
    """Return what happened after event `after`, oldest first, at most 10,000 at once."""
    values: dict[str, Any] = {"org": org, "after": after, "limit": min(limit, EVENTS_READ_MAX)}
    of_run = ""
    if run_id is not None:
        of_run, values["run_id"] = " AND run_id = :run_id", run_id
    with ledger.reading() as connection:
        rows = ledger.execute(connection, _READ.replace("{of_run}", of_run), values).all()
    return [
        EventRow(
            seq, run, attempt, kind, datetime.fromisoformat(at), payload and json.loads(payload)
        )
        for seq, run, attempt, kind, at, payload in rows
    ]
