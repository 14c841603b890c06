"""What of a platform's state asks for a build of the transformation, and what no build heals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.build import BUILT_KINDS
from roundsman.rules.freshness import FreshnessVerdict
from roundsman.rules.parity import ParityVerdict
from roundsman.rules.pulse import PulseVerdict
from roundsman.rules.reasons import Reason

Need = Literal["parity_bad", "freshness_bad", "dbt_bad"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Seen(_Record):
    """What the three checks said at one moment; `pulse` is None when no transform is named."""

    parity: ParityVerdict
    freshness: FreshnessVerdict
    pulse: PulseVerdict | None


class Standing(_Record):
    """The same moment in few numbers, to be told before and after a build."""

    parity: str
    difference_percent: float | None
    rows_apart: int
    freshness: str
    age_minutes: float | None
    dbt: str | None
    last_build_at: datetime | None


def needs(seen: Seen) -> dict[Need, Reason]:
    """What asks for a build, the heaviest first, each with its evidence."""
    found: dict[Need, Reason] = {}
    if seen.parity.status in ("degraded", "failed"):
        found["parity_bad"] = seen.parity.reasons[0]
    stale = [each for each in _stale_sides(seen.freshness) if each.signal == "warehouse_stale"]
    if stale and not is_silent(seen.freshness):
        found["freshness_bad"] = stale[0]
    bad = list(bad_run(seen.pulse))
    if bad:
        found["dbt_bad"] = bad[0]
    return found


def standing(seen: Seen) -> Standing:
    """The moment in few numbers."""
    return Standing(
        parity=seen.parity.status,
        difference_percent=seen.parity.difference_percent,
        rows_apart=rows_apart(seen.parity),
        freshness=seen.freshness.status,
        age_minutes=seen.freshness.age_minutes,
        dbt=seen.pulse.status if seen.pulse else None,
        last_build_at=seen.pulse.ran_at if seen.pulse else None,
    )


def rows_apart(parity: ParityVerdict) -> int:
    """How many rows differ, by number or by key, whichever shows more of a day."""
    days = parity.daily_breakdown
    return sum(max(abs(day.difference or 0), day.differing_keys) for day in days)


def is_silent(freshness: FreshnessVerdict) -> bool:
    """Whether both sides are late alike: the warehouse is behind the search by what is allowed.

    Then nothing has arrived that a build could bring.
    """
    at = {side.side: side.at for side in freshness.sides if side.status == "stale"}
    search, warehouse = at.get("search"), at.get("warehouse")
    if search is None or warehouse is None:
        return False
    return search - warehouse <= timedelta(minutes=freshness.slo_minutes)


def _stale_sides(freshness: FreshnessVerdict) -> Iterator[Reason]:
    beside = (side for side in freshness.sides if side.status != "ok")
    for side, reason in zip(beside, freshness.reasons, strict=False):
        if side.status == "stale":
            yield reason.model_copy(update={"signal": f"{side.side}_stale"})


def bad_run(pulse: PulseVerdict | None) -> Iterator[Reason]:
    """What of the last run a build would heal: nodes that were not built, and its age."""
    if pulse is None:
        return
    for node in pulse.failed:
        if node.kind in BUILT_KINDS:
            quote = f"dbt {node.kind} '{node.name}' ended as {node.status} in the last run"
            yield Reason(signal="dbt_node_failed", value=node.name, quote=quote)
    age, most = pulse.age_hours, pulse.age_hours_max
    if age is not None and most is not None and age > most:
        quote = f"dbt last ran {age} hours ago, {most} are allowed"
        yield Reason(signal="dbt_run_old", value=age, threshold=most, quote=quote)


def not_from_source(
    wanted: dict[Need, Reason], table: str
) -> tuple[dict[Need, Reason], list[Reason]]:
    """What still asks for a build where the table is a source of the project, and what does not."""
    left: dict[Need, Reason] = {"dbt_bad": wanted["dbt_bad"]} if "dbt_bad" in wanted else {}
    why = f"'{table}' is a source of the dbt project, which no build loads"
    return left, [_not_by_build(wanted[need], why) for need in wanted if need not in left]


def not_for_build(seen: Seen) -> Iterator[Reason]:
    """What is bad and no build heals: a stale search, a silent or stale source, a failed test."""
    for reason in _stale_sides(seen.freshness):
        if reason.signal == "search_stale":
            yield _not_by_build(reason, "no build fills the search")
        elif is_silent(seen.freshness):
            yield _not_by_build(reason, "the search has nothing newer, and no build brings rows")
    for source in seen.pulse.stale_sources if seen.pulse else ():
        quote = f"dbt source '{source.name}' is stale: no build loads a source"
        yield Reason(signal="not_by_build", value=source.name, quote=quote)
    for node in seen.pulse.failed if seen.pulse else ():
        if node.kind not in BUILT_KINDS:
            quote = f"dbt {node.kind} '{node.name}' ended as {node.status}: its rows need mending"
            yield Reason(signal="not_by_build", value=node.name, quote=quote)


def _not_by_build(reason: Reason, why: str) -> Reason:
    return reason.model_copy(update={"signal": "not_by_build", "quote": f"{reason.quote}: {why}"})
