"""A permit's whole life, and the bare SQL statements that it needs, on the same kind of file."""

from __future__ import annotations

import json
import sqlite3
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from roundsman.store import Ledger, actions, open_ledger, runs
from roundsman.store.action_table import ACTIONS
from roundsman.store.records import Ask, AskedBy, Claim, Opening, Proposal, Settlement

ORG = "default"
PAYLOAD = {"selectors": ["tag:daily", "tag:critical"], "full_refresh": False}
FACTS = {
    "request": {"agent": "warehouse_health", "action": "build", "context": {"blast_radius": 3}},
    "decision": {"verdict": "allow", "rule_id": "build"},
}
_LEASE = "SELECT attempt, closed FROM run_leases WHERE org_id = ? AND run_id = ?"
_HEAD = "SELECT seq, hash, key_id FROM chain_heads WHERE org_id = ?"
_RUN = "SELECT * FROM agent_audit_log WHERE org_id = ? AND run_id = ?"
_SWITCH = "SELECT * FROM switches WHERE org_id = ? AND name = 'effects'"
_ACTION = "SELECT * FROM actions WHERE org_id = ? AND action_id = ?"
_BUSY = (
    "SELECT action_id FROM actions WHERE org_id = ? AND target = ? AND action_id <> ?"
    " AND (state = 'attempting' OR (state = 'unknown' AND lost_answer = 'once')) LIMIT 1"
)
_EVENT = (
    "INSERT INTO events (org_id, seq, run_id, attempt, kind, at, payload, payload_sha256, hash)"
    " VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?)"
)
_MOVE = "UPDATE chain_heads SET seq = ?, hash = ? WHERE org_id = ?"
_CLAIM = "UPDATE actions SET state = 'attempting', acting_run = ?, claimed_at = ?"
_SETTLE = "UPDATE actions SET state = 'done', settled_at = ?, result = ?"
_WHERE = " WHERE org_id = ? AND action_id = ?"
AT = "2026-11-25T00:00:00.000000Z"


def measure_lives(folder: Path, pairs: int) -> tuple[float, float]:
    """Median milliseconds of a life by our store, and by bare statements; they take turns."""
    ledger = open_ledger(
        f"sqlite:///{folder}/ledger.db", folder / "chain.key", folder / "anchors.jsonl"
    )
    ours, bare = _ours(ledger), _bare(folder)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs + 1):
        for into, live in zip(times, (ours, bare), strict=True):
            began = time.perf_counter()
            live(number)
            into.append((time.perf_counter() - began) * 1000)
    ledger.close()
    # The first pair prepares statements and warms the disk's cache.
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


def _ours(ledger: Ledger) -> Callable[[int], None]:
    run_id = _open_run(ledger)

    def live(number: int) -> None:
        row = actions.propose(ledger, ORG, run_id, 1, _proposal(number))
        wanted = Claim(action_id=row.action_id, payload_sha256=row.payload_sha256)
        actions.claim(ledger, ORG, run_id, 1, wanted)
        told = Settlement(action_id=row.action_id, state="done", result={"models_run": 3})
        actions.settle(ledger, ORG, run_id, 1, told)

    return live


def _open_run(ledger: Ledger) -> str:
    run_id = str(uuid.uuid4())
    opening = Opening(
        agent_type="warehouse_health",
        asked_by=AskedBy(kind="cli", name="bench"),
        dry_run=False,
        params={"allow_actions": True},
    )
    runs.queue_run(ledger, ORG, run_id, Ask(**opening.model_dump(exclude={"systems"})), None)
    runs.open_attempt(ledger, ORG, run_id, opening, runs.this_holder())
    return run_id


def _proposal(number: int) -> Proposal:
    return Proposal(
        agent="warehouse_health",
        action="build",
        target="transform/local",
        payload=PAYLOAD,
        payload_sha256=actions.payload_hash(PAYLOAD),
        occasion={"number": number},
        lost_answer="askable",
        verdict="allow",
        policy_rule_id="build",
        policy_hash="0" * 16,
        reason="allowed by the rule 'build'",
        requested_by="bench",
        facts=FACTS,
    )


def _bare(folder: Path) -> Callable[[int], None]:
    """The same rows and events in a second ledger's file, by statements and nothing else."""
    other = open_ledger(f"sqlite:///{folder}/bare.db", folder / "bare.key", folder / "bare.jsonl")
    run_id = _open_run(other)
    other.close()
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_mode=WAL")
    columns = ("org_id", *ACTIONS.columns)
    insert = f"INSERT INTO actions ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    bare = _Bare(connection, run_id)

    def live(number: int) -> None:
        key = f"{number:032x}"
        row = _row(key, run_id, number)
        with bare.told("action_proposed", {**FACTS, "key": key, "set": row}):
            bare.ask(_ACTION, ORG, key)
            connection.execute(insert, [_cell(row.get(name)) for name in columns])
        with bare.told("action_claimed", {"key": key, "set": {"state": "attempting"}}):
            for statement, values in (
                (_RUN, (ORG, run_id)),
                (_LEASE, (ORG, run_id)),
                (_SWITCH, (ORG,)),
                (_ACTION, (ORG, key)),
                (_BUSY, (ORG, row["target"], key)),
            ):
                bare.ask(statement, *values)
            connection.execute(_CLAIM + _WHERE, (run_id, AT, ORG, key))
        with bare.told("action_settled", {"key": key, "set": {"state": "done"}}):
            bare.ask(_ACTION, ORG, key)
            connection.execute(_SETTLE + _WHERE, (AT, '{"models_run":3}', ORG, key))

    return live


class _Bare:
    """One transaction that ends with an event, as every one of ours does."""

    def __init__(self, connection: sqlite3.Connection, run_id: str) -> None:
        self._connection = connection
        self._run_id = run_id
        self._event: tuple[str, str] = ("", "")

    def told(self, kind: str, payload: dict[str, Any]) -> _Bare:
        """The event with which the transaction will end."""
        self._event = (kind, json.dumps(payload))
        return self

    def ask(self, statement: str, *values: Any) -> Any:
        """One row."""
        return self._connection.execute(statement, values).fetchone()

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self.ask(_LEASE, ORG, self._run_id)
        self._seq = int(self.ask(_HEAD, ORG)[0]) + 1

    def __exit__(self, *_: object) -> None:
        kind, payload = self._event
        told = (ORG, self._seq, self._run_id, kind, AT, payload, "0" * 64, "0" * 64)
        self._connection.execute(_EVENT, told)
        self._connection.execute(_MOVE, (self._seq, "0" * 64, ORG))
        self._connection.execute("COMMIT")


def _row(key: str, run_id: str, number: int) -> dict[str, Any]:
    wish = _proposal(number).model_dump(exclude={"verdict", "expires_minutes", "facts"})
    own = {"org_id": ORG, "action_id": key, "run_id": run_id, "proposed_at": AT}
    return {**wish, **own, "state": "allowed", "nonce_used": False}


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
