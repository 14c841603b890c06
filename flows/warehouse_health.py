"""Do search and warehouse hold the same rows, is it fresh, does dbt live: look, mend, tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple, Self, cast

from pydantic import Field, model_validator

from blocks.systems import Role, configuration_hash, load_system
from blocks.transform import Transform
from roundsman.agent import AgentParams, Gap, Outcome, agent, current
from roundsman.rules.finding import FindingRules
from roundsman.rules.health import Findings, summarize_health
from roundsman.rules.need import Seen
from roundsman.rules.parity import Strength, Tolerance
from roundsman.rules.pulse import PulseReading, judge_pulse
from roundsman.rules.remediation import Limits, Remediation
from roundsman.rules.report import Report
from roundsman.rules.sightings import Subjects, findings_of
from roundsman.rules.windows import Dataset, Reading, Scalar, Settling, Zone
from tasks.comparison import Comparison, Depth, compare_sides
from tasks.dataset import Sides, estimate_readings, open_source
from tasks.findings import Scene, Sightings, record_findings, tell_people
from tasks.remediation import Rebuild, pending, remediate, tell_help
from tasks.report import copy_to_prefect, write_report
from tasks.request import asked_for
from tasks.survey import Survey, check_freshness, check_parity, survey_sides, told
from tasks.transform import read_pulse

PLAN = (
    "query_es_daily",
    "query_bq_daily",
    "check_parity",
    "check_freshness",
    "dbt_pulse",
    "auto_remediate",
    "summarize",
    "notify",
)
# What findings are about: runs that differ in these look at different things.
LOOKED_AT = (
    *("search", "warehouse", "transform", "index", "table", "days", "time_zone", "strength"),
    *("search_time_field", "search_key_field", "search_filter"),
    *("warehouse_time_field", "warehouse_key_field", "warehouse_filter", "dbt_selectors"),
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

    full_refresh: bool = Field(default=False, description="A build makes everything anew")
    limits: Limits = Field(default=Limits(), description="How far and how often a build may go")
    findings: FindingRules = Field(
        default=FindingRules(), description="Whose concern problems are, and who is told"
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
    if params.findings.channel:
        names["notify"] = params.findings.channel
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
    """Compare search and warehouse, check freshness and dbt, have stale models built, and tell."""
    scene = _scene(params)
    look = await _look(params)
    changes = await record_findings(scene, look.sightings)
    remediation = await remediate(look.seen, _rebuild(params))
    if remediation.triggered:
        before, look = look, await _look(params)
        changes += await record_findings(scene, look.sightings)
        remediation = await tell_help(before.seen, look.seen, remediation)

    report = _report(params, look, remediation)
    written = await write_report.named("summarize")(report)
    await copy_to_prefect(current().agent, written)
    sent = await tell_people(scene, changes, asked_for(remediation))
    artifacts = report.artifacts() | {
        "files": written.files,
        "pending_actions": pending(remediation, sent),
        "notifications": [one.model_dump() for one in sent],
    }
    return Outcome(verdict=report.summary.status, artifacts=artifacts, gaps=look.gaps)


class _Look(NamedTuple):
    """All that one look at the platform came to."""

    at: datetime
    survey: Survey
    compared: Comparison
    found: Findings
    pulse: PulseReading | None
    gaps: list[Gap]
    subjects: Subjects

    @property
    def seen(self) -> Seen:
        """What a remediation judges."""
        found = self.found
        return Seen(parity=found.parity, freshness=found.freshness, pulse=found.dbt)

    @property
    def sightings(self) -> Sightings:
        """The problems of this look, and what it was able to judge."""
        return Sightings(self.at, *findings_of(self.found, self.subjects, self.pulse))


async def _look(params: Params) -> _Look:
    now, sides = datetime.now(UTC), _open_sides(params)
    survey = await survey_sides(sides, now, _settling(params))
    compared = await compare_sides(sides, survey.daily, survey.window, _depth(params))
    tolerance = Tolerance(
        threshold_percent=params.threshold_percent, min_difference=params.min_difference
    )
    parity = await check_parity(
        survey.counts, survey.window, tolerance, compared.keys, compared.incomplete
    )
    freshness = await check_freshness(*survey.newest_rows, now, params.slo_minutes)
    pulse = await _read_pulse(params)
    gaps = [gap for gap in (*survey.gaps, *compared.gaps, pulse) if isinstance(gap, Gap)]
    found = Findings(
        parity=parity,
        freshness=freshness,
        dbt=judge_pulse(told(pulse), now, params.dbt_age_hours_max) if pulse else None,
        keys=compared.keys,
        sides=survey.side_findings(),
        unusual_days=survey.unusual_days(),
        drifts=survey.drifts(),
        gaps=tuple(gaps),
    )
    read = told(pulse) if pulse else None
    return _Look(now, survey, compared, found, read, gaps, _subjects(params))


def _report(params: Params, look: _Look, remediation: Remediation) -> Report:
    return Report(
        run_id=current().id,
        objective=params.objective,
        made_at=look.at,
        systems=_name_systems(params),
        window=look.survey.window,
        strength=params.strength,
        level=look.compared.level,
        buckets=look.compared.buckets,
        estimate=look.compared.estimate,
        found=look.found,
        remediation=remediation,
        summary=summarize_health(look.found),
    )


def explain(params: Params) -> list[Reading]:
    """What a run with these parameters would read, and about how much of it; reads nothing."""
    readings = estimate_readings(_open_sides(params), _settling(params), params.strength)
    if params.transform:
        what = ", ".join(params.dbt_selectors) or "every node"
        why = "source freshness and the results of the last run"
        readings.append(Reading(f"transform/{params.transform}", what, why, None, None))
    return readings


def _scene(params: Params) -> Scene:
    """Whose findings these are; runs that look at other things find none of them gone."""
    looked_at = params.model_dump(mode="json", include=set(LOOKED_AT))
    return Scene(params.findings, looked_at)


def _subjects(params: Params) -> Subjects:
    return Subjects(search=params.index, warehouse=params.table, transform=params.transform)


def _rebuild(params: Params) -> Rebuild:
    transform = None
    if params.transform:
        transform = cast("Transform", load_system("transform", params.transform))
    return Rebuild(
        transform=transform,
        name=params.transform or "",
        selectors=params.dbt_selectors,
        full_refresh=params.full_refresh,
        limits=params.limits,
        table=params.table,
    )


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
