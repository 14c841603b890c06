"""How long a scrape takes at a million runs, and whether what it says is right."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.figures import Emitter, Figure, emitter, tell
from roundsman.store import Ledger, open_ledger
from roundsman.store.chain import canonical, genesis, key_id
from roundsman.store.metrics import Sample, marks, run_samples
from roundsman.store.projection import COLUMNS, DOCUMENTS, Row

RUNS = 1_000_000
AGENTS, ROUNDS_PER_AGENT = 10, 5
SCRAPES = 50
GOAL_MS = 50
ORG = "default"
START_SECONDS_MAX = 30
ROWS_AT_ONCE = 10_000

INSERT = (
    f"INSERT INTO agent_audit_log (org_id, {', '.join(COLUMNS)})"
    f" VALUES (?, {', '.join('?' * len(COLUMNS))})"
)
# What a scrape cannot do without: the totals, and each round's last run.
FLOOR = (
    "SELECT org_id, name, labels, value FROM metrics",
    "SELECT a.artifacts FROM metrics AS m CROSS JOIN agent_audit_log AS a WHERE m.org_id ="
    " a.org_id AND m.name = 'agent_last_run' AND a.id = CAST(m.value AS BIGINT)",
)
PARITY = {"status": "ok", "es_count": 15_000, "bq_count": 15_100, "difference_percent": 0.66}
LOOK = canonical(
    {
        "parity": PARITY | {"threshold_percent": 5.0},
        "freshness": {"age_minutes": 12.5, "slo_minutes": 30},
        "days": [{"date": f"2026-01-{day:02}", "es_count": day} for day in range(1, 29)],
    }
)


def main() -> int:
    """Fill a ledger, scrape it over HTTP, and compare with what was filled in."""
    out = emitter(__doc__ or "", runs=RUNS)
    with tempfile.TemporaryDirectory(prefix="roundsman-metrics-") as folder:
        home = Path(folder)
        os.environ["ROUNDSMAN_HOME"] = folder
        ledger = open_ledger(f"sqlite:///{home}/ledger.db", home / "keys/chain.key", None)
        tell(f"building {out.sizes['runs']} runs")
        fill(ledger, out.sizes["runs"])
        with serving(ledger) as scrape:
            measure(out, ledger, scrape)
        ledger.close()
    return out.exit_code()


def measure(out: Emitter, ledger: Ledger, scrape: Callable[[], str]) -> None:
    """Time scrapes in turns with the bare statements."""
    floor = sqlite3.connect(str(ledger.url.database))
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(SCRAPES):
        bare.append(milliseconds(lambda: [floor.execute(one).fetchall() for one in FLOOR]))
        ours.append(milliseconds(scrape))
    floor.close()
    middle = statistics.median(ours)
    out.emit(Figure("metrics_ms", middle, "ms", statistics.median(bare), GOAL_MS))
    totals = re.findall(r"^agent_runs_total\{.*\} (\d+)$", scrape(), re.M)
    share = sum(map(int, totals)) / out.sizes["runs"]
    out.emit(Figure("metrics_counted", share, "share", None, 1, "higher"))


def milliseconds(act: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


@contextmanager
def serving(ledger: Ledger) -> Generator[Callable[[], str]]:
    """The route behind a real server on loopback; yields one scrape over a kept connection."""
    import uvicorn
    from fastapi import FastAPI

    from roundsman.api.line import Protocol
    from roundsman.api.metrics import router, scraped_ledger

    app = FastAPI()
    app.include_router(router)
    app.dependency_overrides[scraped_ledger] = lambda: ledger
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", http=Protocol))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/metrics"
    with httpx.Client(trust_env=False, timeout=START_SECONDS_MAX) as client:
        yield lambda: client.get(url).raise_for_status().text
    server.should_exit = True
    thread.join(START_SECONDS_MAX)


def fill(ledger: Ledger, runs: int) -> None:
    """Write the rows that so many runs leave, all in one transaction."""
    connection = sqlite3.connect(str(ledger.url.database), isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    counted: dict[tuple[str, str], float] = {}
    batch: list[tuple[Any, ...]] = []
    for row in audit_rows(runs):
        batch.append((ORG, *(row[name] for name in COLUMNS)))
        count(counted, row)
        if len(batch) >= ROWS_AT_ONCE:
            connection.executemany(INSERT, batch)
            batch.clear()
    connection.executemany(INSERT, batch)
    head = (ORG, runs, genesis(ledger.key, ORG), key_id(ledger.key))
    connection.execute("INSERT INTO chain_heads VALUES (?, ?, ?, ?)", head)
    values = [(ORG, name, labels, value) for (name, labels), value in counted.items()]
    connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", values)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def count(counted: dict[tuple[str, str], float], row: Row) -> None:
    """Raise what the end of this run raises, and set what it sets."""
    samples: list[Sample] = run_samples(row["agent_type"], row["status"], row["duration_seconds"])
    for name, labels, value in samples:
        counted[name, labels] = counted.get((name, labels), 0.0) + value
    counted.update({(name, labels): value for name, labels, value in marks(row)})


def audit_rows(runs: int) -> Iterator[Row]:
    """Rows of rounds in turn, one in twenty of which failed."""
    blank: Row = dict.fromkeys(COLUMNS) | dict.fromkeys(DOCUMENTS, "{}") | {"error": None}
    at = "2026-01-01T00:00:00.000000Z"
    blank |= {"objective": "look", "code_version": "1", "plan": "[]", "attempt": 1}
    blank |= {"asked_by": canonical({"kind": "schedule", "name": "schedule"})}
    blank |= {"dry_run": True, "created_at": at, "started_at": at, "completed_at": at}
    for number in range(1, runs + 1):
        agent, turn = number % AGENTS, number // AGENTS % ROUNDS_PER_AGENT
        yield blank | {
            "id": number,
            "run_id": f"{number:08x}-0000-4000-8000-{number * 2654435761 % 2**48:012x}",
            "agent_type": f"agent_{agent}",
            "round": f"round-{turn}",
            "status": "failed" if number % 20 == 0 else "success",
            "artifacts": LOOK if number > runs - 2 * AGENTS * ROUNDS_PER_AGENT else "{}",
            "duration_seconds": 3.5 + number % 50,
        }


if __name__ == "__main__":
    sys.exit(main())
