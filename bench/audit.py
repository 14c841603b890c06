"""How long it takes to verify a million events, and whether a single change among them is found."""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.figures import Emitter, Figure, emitter, tell
from roundsman.store import Ledger, open_ledger
from roundsman.store.chain import canonical, genesis, key_id, link, sha256
from roundsman.store.metrics import run_samples
from roundsman.store.projection import COLUMNS, DOCUMENTS, Happening, Row
from roundsman.store.rebuild import Run, apply_event
from roundsman.store.records import Ask, AskedBy, Closing, Opening
from roundsman.store.tables import instant_text
from roundsman.store.verify import verify

EVENTS = 1_000_000
STEPS_PER_RUN = 20
ORG = "default"
GOAL_SECONDS = 20
# A run's events are its queuing, its start, two a step and its end; this one begins a step.
EVENTS_PER_RUN, SPOILT_IN_RUN = 2 * STEPS_PER_RUN + 3, 35

PLAN = [f"step_{index}" for index in range(STEPS_PER_RUN)]
# Run, kind, time and payload of one event.
Tale = tuple[str, str, str, dict[str, Any]]

INSERT_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_STEP = "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_RUN = (
    f"INSERT INTO agent_audit_log (org_id, {', '.join(COLUMNS)})"
    f" VALUES (?, {', '.join('?' * len(COLUMNS))})"
)
COPIED = "org_id, {seq}, run_id, attempt, kind, at, payload, payload_sha256, hash"
MOVE = "UPDATE events SET seq = {to} WHERE seq = {seq}"


def main() -> int:
    """Build, verify, spoil and print."""
    out = emitter(__doc__ or "", events=EVENTS)
    events = out.sizes["events"]
    with tempfile.TemporaryDirectory(prefix="roundsman-audit-") as folder:
        home = Path(folder)
        ledger = open_ledger(f"sqlite:///{home}/ledger.db", home / "chain.key", home / "anchors")
        tell(f"building {events} events")
        start = time.perf_counter()
        build(ledger, events)
        tell(f"built in {time.perf_counter() - start:.1f} s")
        measure(ledger, out, events)
        for name, statements in spoilers(events).items():
            found = find(ledger, statements, events)
            out.emit(Figure(f"{name}_found", found, "share", None, 1, "higher"))
        ledger.close()
    return out.exit_code()


def measure(ledger: Ledger, out: Emitter, events: int) -> None:
    """Time a plain read of the rows, and the verification of them."""
    floor = read_all(str(ledger.url.database))
    start = time.perf_counter()
    result = verify(ledger, ORG)
    seconds = time.perf_counter() - start
    if not result.ok or result.events != events:
        raise SystemExit(f"the bench's own ledger is not whole: {result.first_bad}")
    out.emit(Figure("verify_1m_s", seconds, "s", floor, GOAL_SECONDS))


def read_all(path: str) -> float:
    """Return the seconds that a plain sequential read of the same rows takes."""
    start = time.perf_counter()
    connection = sqlite3.connect(path)
    for table in ("events", "steps", "agent_audit_log"):
        for _ in connection.execute(f"SELECT * FROM {table}"):
            pass
    connection.close()
    return time.perf_counter() - start


def spot_of(events: int) -> int:
    """Return the event in the middle that is going to be spoilt."""
    return events // 2 // EVENTS_PER_RUN * EVENTS_PER_RUN + SPOILT_IN_RUN


def spoilers(events: int) -> dict[str, list[str]]:
    """Return what somebody with the database, but without the key, may do to one row."""
    spot = spot_of(events)
    payload = "substr(payload, 1, length(payload) - 2) || '7' || '}'"
    copy = f"INSERT INTO events SELECT {COPIED.format(seq=events + 1)} FROM events WHERE seq = 7"
    return {
        "edit": [f"UPDATE events SET payload = {payload} WHERE seq = {spot}"],
        "removed": [f"DELETE FROM events WHERE seq = {spot}"],
        "inserted": [copy, f"UPDATE chain_heads SET seq = {events + 1}"],
        "swapped": [
            MOVE.format(to=0, seq=spot),
            MOVE.format(to=spot, seq=spot + 9),
            MOVE.format(to=spot + 9, seq=0),
        ],
    }


def find(ledger: Ledger, statements: list[str], events: int) -> float:
    """Spoil the ledger, verify it, repair it; 1.0 when the spoilt row was named first."""
    spot = spot_of(events)
    path = str(ledger.url.database)
    keep = sqlite3.connect(path)
    rows = keep.execute(f"SELECT * FROM events WHERE seq IN ({spot}, {spot + 9})").fetchall()
    head = keep.execute("SELECT seq FROM chain_heads").fetchone()[0]
    for statement in statements:
        if keep.execute(statement).rowcount != 1:
            raise SystemExit(f"nothing was spoilt by: {statement}")
    keep.commit()
    said = verify(ledger, ORG).first_bad or ""
    tell(said)
    keep.execute(f"DELETE FROM events WHERE seq IN ({spot}, {spot + 9}, {events + 1})")
    keep.executemany(INSERT_EVENT, rows)
    keep.execute("UPDATE chain_heads SET seq = ?", (head,))
    keep.commit()
    keep.close()
    first = events + 1 if "INSERT" in statements[0] else spot
    return float(said.startswith(f"event {first} of org '{ORG}': "))


def build(ledger: Ledger, events: int, told: Iterable[Tale] | None = None) -> None:
    """Write runs as the ledger would, but all their events in one transaction."""
    connection = sqlite3.connect(str(ledger.url.database), isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    counted: dict[tuple[str, str], float] = {}
    previous = genesis(ledger.key, ORG)
    batch: list[tuple[Any, ...]] = []
    open_runs: dict[str, Run] = {}
    anchors: list[str] = []
    for seq, event in enumerate(told or lives(), 1):
        run_id, kind, at, payload = event
        text = canonical(payload)
        digest = sha256(text)
        fields = tuple(str(part).encode() for part in (seq, run_id, 1, kind, at, digest))
        previous = link(ledger.key, previous.encode(), fields)
        batch.append((ORG, seq, run_id, 1, kind, at, text, digest, previous))
        run = open_runs.setdefault(run_id, Run())
        apply_event(run, Happening(seq, run_id, 1, kind, at, payload))
        if kind == "run_finished" or seq == events:
            write_run(connection, open_runs.pop(run_id), counted)
            anchors.append(json.dumps({"org": ORG, "seq": seq, "hash": previous, "at": at}))
        if len(batch) >= 10_000 or seq == events:
            connection.executemany(INSERT_EVENT, batch)
            batch.clear()
        if seq == events:
            break
    write_rest(connection, ledger, (events, previous, counted))
    if ledger.anchor_path is not None:
        ledger.anchor_path.write_text("\n".join(anchors) + "\n")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def write_rest(
    connection: sqlite3.Connection,
    ledger: Ledger,
    rest: tuple[int, str, dict[tuple[str, str], float]],
) -> None:
    """Write the head and the counters."""
    seq, last, counted = rest
    head = (ORG, seq, last, key_id(ledger.key))
    connection.execute("INSERT INTO chain_heads VALUES (?, ?, ?, ?)", head)
    values = [(ORG, name, labels, value) for (name, labels), value in counted.items()]
    connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", values)


def write_run(
    connection: sqlite3.Connection, run: Run, counted: dict[tuple[str, str], float]
) -> None:
    """Write the rows of one run."""
    row: Row = run.row or {}
    values = [
        canonical(row[name]) if name in DOCUMENTS and row[name] is not None else row[name]
        for name in COLUMNS
    ]
    connection.execute(INSERT_RUN, (ORG, *values))
    steps = [
        (ORG, row["run_id"], *key, *step[:6], step[6] and canonical(step[6]))
        for key, step in run.steps.items()
    ]
    connection.executemany(INSERT_STEP, steps)
    if row["status"] == "success":
        for sample in run_samples(row["agent_type"], "success", row["duration_seconds"]):
            key = (sample.name, sample.labels)
            counted[key] = counted.get(key, 0.0) + sample.value


def lives() -> Iterator[Tale]:
    """Yield run, kind, time and payload of the events of run after run, without an end."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    ask = Ask(
        agent_type="warehouse_health",
        round="orders-prod",
        objective="do search and warehouse agree?",
        params={"days": 14, "search": "prod", "warehouse": "prod", "threshold_percent": 5.0},
        plan=PLAN,
        asked_by=AskedBy(kind="schedule"),
        code_version="0.1.0",
    )
    queued = ask.model_dump(mode="json")
    started = Opening(**ask.model_dump(), systems={"search/prod": "ab12"}).model_dump(mode="json")
    closing = Closing(
        status="success",
        verdict="healthy",
        artifacts={"report": "warehouse_health_2026-01-01.md", "counts": [15_000, 15_100]},
        ops=31,
    ).model_dump(mode="json", exclude={"ops"})
    number = 0
    while True:
        number += 1
        run_id = f"{number:08x}-0000-4000-8000-{number * 2654435761 % 2**48:012x}"
        stamp = instant_text(at)
        yield run_id, "run_queued", stamp, queued
        yield run_id, "run_started", stamp, started
        for index, name in enumerate(PLAN):
            at += timedelta(milliseconds=137)
            step = {"index": index, "name": name, "tries": 1}
            yield run_id, "step_started", instant_text(at), step
            end = {"index": index, "status": "success", "error": None, "seconds": 0.0512}
            yield run_id, "step_finished", instant_text(at), end
        at += timedelta(seconds=1)
        seconds = 3.5 + number % 50
        end = closing | {"agent_type": "warehouse_health", "ops_count": 31}
        yield run_id, "run_finished", instant_text(at), end | {"duration_seconds": seconds}


if __name__ == "__main__":
    sys.exit(main())
