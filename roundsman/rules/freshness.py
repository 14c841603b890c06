"""How old is the newest row of each side, and is that within the objective."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.reasons import Reason
from roundsman.rules.windows import Newest, Side

FreshnessStatus = Literal["ok", "stale", "unknown"]
WORST_FIRST: tuple[FreshnessStatus, ...] = ("stale", "unknown")


class SideFreshness(BaseModel):
    """One side; `at` is None when it has no row, `read` is false when it could not be asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: Side
    read: bool
    at: datetime | None = None
    age_minutes: float | None = None
    by: Literal["metadata", "query"] | None = None
    status: FreshnessStatus = "unknown"


class FreshnessVerdict(BaseModel):
    """The freshness block of the report; time and age are those of the older side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: FreshnessStatus
    latest_event_ts: datetime | None
    age_minutes: float | None
    slo_minutes: int
    within_slo: bool | None
    sides: tuple[SideFreshness, ...]
    reasons: tuple[Reason, ...] = ()


def judge_freshness(
    search: Newest | None, warehouse: Newest | None, now: datetime, slo_minutes: int
) -> FreshnessVerdict:
    """stale when a side is older than the objective, else unknown when a side is unknown, else ok.

    None stands for a side that could not be read. The edge itself is still within the objective.
    """
    sides = (
        _judge_side("search", search, now, slo_minutes),
        _judge_side("warehouse", warehouse, now, slo_minutes),
    )
    status = _worst(sides)
    known = [side for side in sides if side.at is not None]
    oldest = min(known, key=lambda side: side.at or now, default=None)
    return FreshnessVerdict(
        status=status,
        latest_event_ts=oldest.at if oldest else None,
        age_minutes=oldest.age_minutes if oldest else None,
        slo_minutes=slo_minutes,
        within_slo=None if status == "unknown" else status == "ok",
        sides=sides,
        reasons=tuple(_reason(side, slo_minutes) for side in sides if side.status != "ok"),
    )


def _judge_side(
    side: Side, newest: Newest | None, now: datetime, slo_minutes: int
) -> SideFreshness:
    if newest is None or newest.at is None:
        return SideFreshness(side=side, read=newest is not None, by=newest.by if newest else None)
    age = now - newest.at
    return SideFreshness(
        side=side,
        read=True,
        at=newest.at,
        age_minutes=max(round(age / timedelta(minutes=1), 1), 0.0),
        by=newest.by,
        status="ok" if age <= timedelta(minutes=slo_minutes) else "stale",
    )


def _worst(sides: Iterable[SideFreshness]) -> FreshnessStatus:
    found = [side.status for side in sides]
    for status in WORST_FIRST:
        if status in found:
            return status
    return "ok"


def _reason(side: SideFreshness, slo_minutes: int) -> Reason:
    if side.status == "stale" and side.at is not None:
        quote = (
            f"the newest row of the {side.side} is {side.age_minutes} minutes old "
            f"({side.at:%Y-%m-%d %H:%M} UTC), {slo_minutes} are allowed"
        )
    elif side.read:
        quote = f"the {side.side} has no row"
    else:
        quote = f"the {side.side} could not be asked for its newest row"
    signal = {"stale": "side_stale", "unknown": "side_unknown"}[side.status]
    return Reason(signal=signal, value=side.age_minutes, threshold=slo_minutes, quote=quote)
