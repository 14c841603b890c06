"""Which numbers are counted as runs end, in the words of Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from roundsman.log import get_logger
from roundsman.rules.redaction import redact
from roundsman.store.chain import canonical
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import lock_head
from roundsman.store.records import Json

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
# Marks are set, not added to: the time of a round's last success, the row of its last run.
LAST_SUCCESS = "agent_last_success_timestamp_seconds"
LAST_RUN = "agent_last_run"
# Rows that are no numbers for anybody else.
INTERNAL = frozenset({LAST_RUN})
# Series of one name in one org; what goes beyond is counted under the value 'overflow'.
SERIES_MAX = 200
ROUNDS_MAX = 500
# The ends of a histogram's names.
PARTS = ("_bucket", "_sum", "_count")
OVERFLOW = "overflow"

_log = get_logger(__name__, component="metrics")

_ADD = (
    "INSERT INTO metrics (org_id, name, labels, value) VALUES (:org, :name, :labels, :value)"
    " ON CONFLICT (org_id, name, labels) DO UPDATE SET value = metrics.value + excluded.value"
)
_SET = (
    "INSERT INTO metrics (org_id, name, labels, value) SELECT :org, :name, :labels, :value"
    " WHERE (SELECT count(*) FROM metrics WHERE org_id = :org AND name = :name) < :most"
    " OR EXISTS (SELECT 1 FROM metrics WHERE org_id = :org AND name = :name AND labels = :labels)"
    " ON CONFLICT (org_id, name, labels) DO UPDATE SET value = excluded.value"
)
_KNOWN = "SELECT labels FROM metrics WHERE org_id = :org AND name = :name"
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


def counted_samples(counted: Iterable[Json]) -> list[Sample]:
    """Return what a run counted itself, as its last event tells it."""
    return [Sample(one["name"], canonical(one["labels"]), one["value"]) for one in counted]


def marks(row: dict[str, Any]) -> list[Sample]:
    """Return what the end of a run sets for its round; `row` is its row of the audit log."""
    if row["status"] not in STATUS_LABELS or row["status"] == "cancelled":
        return []
    labels = canonical({"agent_type": row["agent_type"], "round": row["round"] or ""})
    last = [Sample(LAST_RUN, labels, float(row["id"]))]
    if row["status"] != "success":
        return last
    at = datetime.fromisoformat(row["completed_at"]).timestamp()
    return [*last, Sample(LAST_SUCCESS, labels, at)]


def bounded(connection: Connection, ledger: Ledger, org: str, counted: list[Json]) -> list[Json]:
    """Return what a run counted, with series beyond the limit under 'overflow'.

    Decided once, here: the event tells the outcome, so that a rebuilding only has to add.
    """
    if not counted:
        return []
    lock_head(connection, ledger, org)
    known: dict[str, set[str]] = {}
    kept: list[Json] = []
    cut: set[str] = set()
    for one in redact(counted):
        name, labels = one["name"], one["labels"]
        if name not in known:
            found = ledger.execute(connection, _KNOWN, {"org": org, "name": name})
            known[name] = {_series(json.loads(row[0])) for row in found}
        if _series(labels) not in known[name] and len(known[name]) >= SERIES_MAX:
            labels = {key: text if key == "le" else OVERFLOW for key, text in labels.items()}
            cut.add(family_of(name))
        known[name].add(_series(labels))
        kept.append(one | {"labels": labels})
    for name in sorted(cut):
        _log.warning(
            f"metric '{name}' has {SERIES_MAX} series, further ones are counted as '{OVERFLOW}';"
            " use labels with fewer values"
        )
    return kept


def family_of(name: str) -> str:
    """Return a name without what tells a histogram's numbers apart."""
    return name.removesuffix(next((part for part in PARTS if name.endswith(part)), ""))


def _series(labels: dict[str, str]) -> str:
    return canonical({name: value for name, value in labels.items() if name != "le"})


def put(connection: Connection, ledger: Ledger, org: str, samples: Iterable[Sample]) -> None:
    """Set marks in the caller's transaction; rounds beyond the limit get none."""
    for sample in samples:
        values = {"org": org, "most": ROUNDS_MAX, **sample._asdict()}
        ledger.execute(connection, _SET, values)


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
