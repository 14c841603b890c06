"""Is the transformation alive: what the last dbt run left behind, and how fresh its sources are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.reasons import Reason

NodeKind = Literal["model", "test", "seed", "snapshot", "source", "other"]
FreshnessStatus = Literal["pass", "warn", "error", "runtime error"]
PulseStatus = Literal["ok", "degraded", "unknown"]

# dbt's own words for a node that did not do what it should.
FAILED_STATUSES = frozenset({"error", "fail", "runtime error", "partial success"})
FAILED_SOURCES = frozenset({"error", "runtime error"})
# Failing nodes quoted in the reasons; all of them stand in the verdict.
QUOTED_MAX = 10


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NodeResult(_Record):
    """What became of one node in dbt's last run (`run_results.json`)."""

    name: str
    kind: NodeKind
    status: str
    message: str | None = None
    failures: int | None = None
    duration_seconds: float = 0.0


class SourceFreshness(_Record):
    """How old a source is by dbt's own measure (`sources.json`); `name` is `source.table`."""

    name: str
    status: FreshnessStatus
    newest: datetime | None = None
    age_seconds: float | None = None
    warn_after_seconds: float | None = None
    error_after_seconds: float | None = None
    message: str | None = None


class PulseReading(_Record):
    """What dbt left behind: `ran_at` is None when there are no results of a run.

    `sources` is None when source freshness was not asked for, empty when no source declares one.
    """

    ran_at: datetime | None = None
    command: str | None = None
    duration_seconds: float = 0.0
    nodes: tuple[NodeResult, ...] = ()
    sources: tuple[SourceFreshness, ...] | None = None
    notes: tuple[str, ...] = ()


class PulseVerdict(_Record):
    """The dbt block of the report; `success` is None where nothing is known."""

    status: PulseStatus
    success: bool | None
    read: bool = True
    models_run: int = 0
    tests_run: int = 0
    duration_sec: float = 0.0
    ran_at: datetime | None = None
    age_hours: float | None = None
    age_hours_max: float | None = None
    failed: tuple[NodeResult, ...] = ()
    stale_sources: tuple[SourceFreshness, ...] = ()
    late_sources: tuple[SourceFreshness, ...] = ()
    notes: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()


def judge_pulse(reading: PulseReading | None, now: datetime, age_hours_max: float) -> PulseVerdict:
    """ok when the last run was whole, is young enough and no source is stale.

    Without results of a run nothing is ok, and unknown unless a source is stale. None stands for
    a project that could not be read.
    """
    if reading is None:
        return PulseVerdict(status="unknown", success=None, read=False)
    sources = reading.sources or ()
    failed = tuple(node for node in reading.nodes if node.status in FAILED_STATUSES)
    stale = tuple(source for source in sources if source.status in FAILED_SOURCES)
    age = _hours_between(reading.ran_at, now)
    reasons = (
        *(_node_reason(node) for node in failed[:QUOTED_MAX]),
        *(_source_reason(source) for source in stale[:QUOTED_MAX]),
        *_age_reasons(reading.ran_at, age, age_hours_max),
    )
    return PulseVerdict(
        status="degraded" if reasons else "ok" if reading.ran_at else "unknown",
        success=None if reading.ran_at is None else not failed,
        models_run=_count(reading, "model"),
        tests_run=_count(reading, "test"),
        duration_sec=round(reading.duration_seconds, 2),
        ran_at=reading.ran_at,
        notes=reading.notes,
        reasons=reasons,
        failed=failed,
        stale_sources=stale,
        late_sources=tuple(source for source in sources if source.status == "warn"),
        age_hours=age,
        age_hours_max=age_hours_max,
    )


def _count(reading: PulseReading, kind: NodeKind) -> int:
    return sum(node.kind == kind and node.status != "skipped" for node in reading.nodes)


def _hours_between(earlier: datetime | None, later: datetime) -> float | None:
    return None if earlier is None else round((later - earlier) / timedelta(hours=1), 2)


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 3600, 1)


def _node_reason(node: NodeResult) -> Reason:
    said = f": {node.message}" if node.message else ""
    return Reason(
        signal=f"dbt_{node.kind}_failed",
        value=node.name,
        threshold=None,
        quote=f"dbt {node.kind} '{node.name}' ended as {node.status}{said}",
    )


def _source_reason(source: SourceFreshness) -> Reason:
    hours, limit = _hours(source.age_seconds), _hours(source.error_after_seconds)
    said = source.message or (f"newest row {hours} hours old" if hours is not None else "no rows")
    allowed = "" if limit is None else f", {limit} allowed"
    return Reason(
        signal="dbt_source_stale",
        value=hours,
        threshold=limit,
        quote=f"dbt source '{source.name}' is stale: {said}{allowed}",
    )


def _age_reasons(ran_at: datetime | None, age: float | None, limit: float) -> tuple[Reason, ...]:
    if ran_at is None or age is None or age <= limit:
        return ()
    quote = f"dbt last ran {age} hours ago ({ran_at.isoformat()}), {limit} hours are allowed"
    return (Reason(signal="dbt_run_old", value=age, threshold=limit, quote=quote),)
