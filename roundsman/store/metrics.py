"""Which numbers are counted as runs end, in the words of Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection

from roundsman.store.chain import canonical
from roundsman.store.engine import Ledger

RUNS_TOTAL = "agent_runs_total"
RUN_SECONDS = "agent_run_duration_seconds"
BUCKETS_SECONDS = (1, 5, 10, 30, 60, 120, 300, 600)
# The words that `agent_runs_total` is asked for; a refused run never ran and is not counted.
STATUS_LABELS = {
    "success": "success",
    "failed": "failed",
    "crashed": "failed",
    "timed_out": "failed",
    "cancelled": "cancelled",
}

_ADD = (
    "INSERT INTO metrics (org_id, name, labels, value) VALUES (:org, :name, :labels, :value)"
    " ON CONFLICT (org_id, name, labels) DO UPDATE SET value = metrics.value + excluded.value"
)
_READ = "SELECT org_id, name, labels, value FROM metrics{of_org} ORDER BY org_id, name, labels"


class Sample(NamedTuple):
    """One number to add: `labels` is canonical JSON."""

    name: str
    labels: str
    value: float


class Series(NamedTuple):
    """One counted number of one org."""

    org: str
    name: str
    labels: dict[str, str]
    value: float


def run_samples(agent_type: str, status: str, seconds: float | None) -> list[Sample]:
    """Return what a run's end adds: one counter, and a cumulative histogram if it ever began."""
    label = STATUS_LABELS.get(status)
    if label is None:
        return []
    if seconds is None:
        return [Sample(RUNS_TOTAL, canonical({"agent_type": agent_type, "status": label}), 1.0)]
    missed = sum(seconds > edge for edge in BUCKETS_SECONDS)
    samples = _ones(agent_type, label, missed)
    return [*samples, Sample(f"{RUN_SECONDS}_sum", _of_agent(agent_type), float(seconds))]


@lru_cache(maxsize=4096)
def _ones(agent_type: str, label: str, missed: int) -> list[Sample]:
    agent = {"agent_type": agent_type}
    edges = [str(edge) for edge in BUCKETS_SECONDS[missed:]] + ["+Inf"]
    return [
        Sample(RUNS_TOTAL, canonical(agent | {"status": label}), 1.0),
        *(Sample(f"{RUN_SECONDS}_bucket", canonical(agent | {"le": le}), 1.0) for le in edges),
        Sample(f"{RUN_SECONDS}_count", _of_agent(agent_type), 1.0),
    ]


@lru_cache(maxsize=512)
def _of_agent(agent_type: str) -> str:
    return canonical({"agent_type": agent_type})


def add(connection: Connection, ledger: Ledger, org: str, samples: Iterable[Sample]) -> None:
    """Add samples in the caller's transaction."""
    for sample in samples:
        ledger.execute(connection, _ADD, {"org": org, **sample._asdict()})


def read_metrics(ledger: Ledger, org: str | None = None) -> list[Series]:
    """Return every counted number of one org, or of all."""
    statement = _READ.replace("{of_org}", "" if org is None else " WHERE org_id = :org")
    with ledger.reading() as connection:
        rows = ledger.execute(connection, statement, {} if org is None else {"org": org}).all()
    return [Series(org_id, name, json.loads(labels), value) for org_id, name, labels, value in rows]
