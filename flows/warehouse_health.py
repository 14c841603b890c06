"""Do search and warehouse hold the same rows, is the data fresh, does dbt live: look and tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self, cast

from pydantic import Field, model_validator

from blocks.systems import Role, configuration_hash, load_system
from blocks.transform import Transform
from roundsman.agent import AgentParams, Gap, Outcome, agent, current
from roundsman.rules.health import Findings, summarize_health
from roundsman.rules.parity import Strength, Tolerance
from roundsman.rules.pulse import PulseReading, judge_pulse
from roundsman.rules.remediation import judge_remediation
from roundsman.rules.report import Report
from roundsman.rules.windows import Dataset, Reading, Scalar, Settling, Zone
from tasks.comparison import Depth, compare_sides
from tasks.dataset import Sides, estimate_readings, open_source
from tasks.report import copy_to_prefect, write_report
from tasks.survey import check_freshness, check_parity, survey_sides, told
from tasks.transform import read_pulse

PLAN = (
    "query_es_daily",
    "query_bq_daily",
    "check_parity",
    "check_freshness",
    "dbt_pulse",
    "auto_remediate",
    "summarize",
)


class Params(AgentParams):
    """Which data are compared, how, and what is tolerated."""

    search: str = Field(default="local", description="A search of systems.yaml")
    warehouse: str = Field(default="local", description="A warehouse of systems.yaml")
    transform: str | None = Field(
        default=None, description="A transform of systems.yaml; unset: no dbt, two checks"
    )
    index: str = Field(default="emails-*", min_length=1, description="Index, alias or pattern")
    table: str = Field(
        default="analytics.emails", min_length=1, description="[project.]dataset.table"
    )
    search_time_field: str = Field(default="received_at", description="Time of a document")
    search_key_field: str = Field(default="message_id", description="Names a document for good")
    search_fingerprint_field: str | None = Field(
        default=None, description="Integer that changes with the document"
    )
    search_filter: dict[str, Scalar | list[Scalar]] = Field(
        default={}, description="Only documents with these values"
    )
    warehouse_time_field: str = Field(default="received_at", description="Time of a row")
    warehouse_key_field: str = Field(default="message_id", description="Names a row for good")
    warehouse_fingerprint_field: str | None = Field(
        default=None, description="Integer that changes with the row, as on the other side"
    )
    warehouse_filter: dict[str, Scalar | list[Scalar]] = Field(
        default={}, description="Only rows with these values"
    )
    days: int = Field(default=14, ge=1, le=92, description="Whole days before the last one")
    time_zone: Zone = Field(default="UTC", description="Whose days, on both sides")
    settle_minutes: int = Field(
        default=60, ge=0, le=10_080, description="Younger rows may still be on their way"
    )
    threshold_percent: float = Field(
        default=5.0, ge=0, le=100, description="Of the larger side; a bad day exceeds it"
    )
    min_difference: int = Field(
        default=10, ge=0, description="Rows; a bad day exceeds this as well"
    )
    slo_minutes: int = Field(default=30, ge=1, description="How old the newest row may be")
    strength: Strength = Field(
        default="count",
        description="count; keys: list all; fingerprint: see changes too, unless both the count "
        "and the sum of a bucket agree",
    )
    keys_max: int = Field(default=1_000, ge=1, le=10_000, description="Differing keys named")
    rows_max: int = Field(
        default=2_000_000, ge=1, le=20_000_000, description="Rows a side that 'keys' lists"
    )
    dbt_selectors: list[str] = Field(default=[], description="Such as tag:daily; empty: all")
    dbt_age_hours_max: float = Field(
        default=26.0, gt=0, description="How long ago the last dbt run may be"
    )

    @model_validator(mode="after")
    def _has_fingerprints(self) -> Self:
        named = (self.search_fingerprint_field, self.warehouse_fingerprint_field)
        if self.strength == "fingerprint" and not all(named):
            raise ValueError(
                "strength 'fingerprint' needs search_fingerprint_field and "
                "warehouse_fingerprint_field: a stored integer on both sides"
            )
        return self


def hash_systems(params: Params) -> dict[str, str]:
    """The configuration of every system that a run uses; a Mistake where one is not known."""
    names: dict[Role, str] = {"search": params.search, "warehouse": params.warehouse}
    if params.transform:
        names["transform"] = params.transform
    return {
        f"{role}/{name}": configuration_hash(load_system(role, name))
        for role, name in names.items()
    }


@agent(
    version="1.0.0",
    capabilities=("read_es", "read_bq", "dbt_run", "auto_remediate"),
    plan=PLAN,
    systems=hash_systems,
)
async def warehouse_health(params: Params) -> Outcome:
    """Compare search and warehouse down to the rows, check freshness and dbt, and report."""
    run, now = current(), datetime.now(UTC)
    tolerance = Tolerance(
        threshold_percent=params.threshold_percent, min_difference=params.min_difference
    )
    sides, depth = _open_sides(params), _depth(params)

    survey = await survey_sides(sides, now, _settling(params))
    looked = await compare_sides(sides, survey.daily, survey.window, depth)
    parity = await check_parity(
        survey.counts, survey.window, tolerance, looked.keys, looked.incomplete
    )
    freshness = await check_freshness(*survey.newest_rows, now, params.slo_minutes)
    pulse = await _read_pulse(params)
    remediation = judge_remediation(parity, freshness, params.dry_run)
    run.skip("auto_remediate", remediation.reason)

    gaps = [gap for gap in (*survey.gaps, *looked.gaps, pulse) if isinstance(gap, Gap)]
    found = Findings(
        parity=parity,
        freshness=freshness,
        dbt=judge_pulse(told(pulse), now, params.dbt_age_hours_max) if pulse else None,
        keys=looked.keys,
        sides=survey.side_findings(),
        unusual_days=survey.unusual_days(),
        drifts=survey.drifts(),
        gaps=tuple(gaps),
    )
    report = Report(
        run_id=run.id,
        objective=params.objective,
        made_at=now,
        systems=_name_systems(params),
        window=survey.window,
        strength=params.strength,
        level=looked.level,
        buckets=looked.buckets,
        estimate=looked.estimate,
        found=found,
        remediation=remediation,
        summary=summarize_health(found),
    )
    written = await write_report.named("summarize")(report)
    await copy_to_prefect(run.agent, written)
    artifacts = report.artifacts() | {"files": written.files}
    return Outcome(verdict=report.summary.status, artifacts=artifacts, gaps=gaps)


def explain(params: Params) -> list[Reading]:
    """What a run with these parameters would read, and about how much of it; reads nothing."""
    readings = estimate_readings(_open_sides(params), _settling(params), params.strength)
    if params.transform:
        what = ", ".join(params.dbt_selectors) or "every node"
        why = "source freshness and the results of the last run"
        readings.append(Reading(f"transform/{params.transform}", what, why, None, None))
    return readings


async def _read_pulse(params: Params) -> PulseReading | Gap | None:
    if params.transform is None:
        current().skip("dbt_pulse", "no transform is named")
        return None
    transform = cast("Transform", load_system("transform", params.transform))
    return await read_pulse.named("dbt_pulse").or_gap(transform, params.dbt_selectors)


def _open_sides(params: Params) -> Sides:
    named = (params.search_fingerprint_field, params.warehouse_fingerprint_field)
    prints = params.strength != "count" and all(named)
    search = Dataset(
        name=params.index,
        time_field=params.search_time_field,
        key_field=params.search_key_field,
        fingerprint_field=params.search_fingerprint_field if prints else None,
        filter=params.search_filter,
    )
    warehouse = Dataset(
        name=params.table,
        time_field=params.warehouse_time_field,
        key_field=params.warehouse_key_field,
        fingerprint_field=params.warehouse_fingerprint_field if prints else None,
        filter=params.warehouse_filter,
    )
    return Sides(
        open_source("search", params.search, search),
        open_source("warehouse", params.warehouse, warehouse),
    )


def _settling(params: Params) -> Settling:
    return Settling(zone=params.time_zone, days=params.days, settle_minutes=params.settle_minutes)


def _depth(params: Params) -> Depth:
    return Depth(params.strength, params.keys_max, params.rows_max)


def _name_systems(params: Params) -> dict[str, str]:
    return {
        "search": f"{params.search}, {params.index}",
        "warehouse": f"{params.warehouse}, {params.table}",
        "dbt": params.transform or "none",
    }
