"""Do search and warehouse hold the same rows: per day, in total, and by key."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from roundsman.rules.keys import KeyDifferences
from roundsman.rules.reasons import Reason
from roundsman.rules.windows import Bucket, Window, day_spans, local_date

Strength = Literal["count", "keys", "fingerprint"]
ParityStatus = Literal["ok", "degraded", "failed", "unknown"]
# Below this a window says nothing about days.
WINDOW_HOURS_MIN = 24
STATUS_OF: dict[str, ParityStatus] = {
    "side_empty": "failed",
    "total_differs": "degraded",
    "day_differs": "degraded",
    "no_data": "unknown",
    "side_unread": "unknown",
    "window_short": "unknown",
    "look_incomplete": "unknown",
}
WORST_FIRST: tuple[ParityStatus, ...] = ("failed", "degraded", "unknown")


class Tolerance(BaseModel):
    """How much may differ: both limits must be exceeded before a day or the total is bad."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold_percent: float = 5.0
    min_difference: int = 10


class Counts(NamedTuple):
    """The daily counts of both sides over one window; None for a side that was not read."""

    search: list[Bucket] | None
    warehouse: list[Bucket] | None


class DayParity(BaseModel):
    """One calendar day; `whole` is false where the window cuts it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: date
    es_count: int | None
    bq_count: int | None
    difference: int | None = None
    difference_percent: float | None = None
    differing_keys: int = 0
    status: Literal["ok", "bad", "unknown"] = "unknown"
    whole: bool = True


class ParityVerdict(BaseModel):
    """The parity block of the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: ParityStatus
    es_count: int | None
    bq_count: int | None
    difference: int | None
    difference_percent: float | None
    threshold_percent: float
    min_difference: int
    daily_breakdown: tuple[DayParity, ...]
    reasons: tuple[Reason, ...] = ()

    @property
    def bad_days(self) -> tuple[DayParity, ...]:
        """The days beyond the tolerance."""
        return tuple(day for day in self.daily_breakdown if day.status == "bad")


def difference_percent(search: int, warehouse: int) -> float:
    """The difference in percent of the larger side: 15,000 against 15,100 is 0.66."""
    return _percent(abs(search - warehouse), max(search, warehouse))


def exceeds(differing: int, larger: int, tolerance: Tolerance) -> bool:
    """Whether so many differing rows of `larger` are too many, by both limits, unrounded."""
    beyond = 100 * differing > tolerance.threshold_percent * larger
    return beyond and differing > tolerance.min_difference


def judge_parity(
    counts: Counts,
    window: Window,
    tolerance: Tolerance,
    keys: KeyDifferences | None = None,
    incomplete: str = "",
) -> ParityVerdict:
    """The verdict and its reasons.

    Keys that differ count as differing rows, so that differences that balance out weigh too. ok
    needs both sides read, rows on both, a window of a day or more, nothing beyond tolerance, and
    a look as deep as was asked for: `incomplete` says what stopped it.
    """
    search, warehouse = _total(counts.search), _total(counts.warehouse)
    days = tuple(_judge_days(counts, window, tolerance, keys))
    difference, percent, reasons = None, None, _unread_reasons(counts)
    if search is not None and warehouse is not None:
        difference, percent = abs(search - warehouse), difference_percent(search, warehouse)
        differing = max(difference, _differing(keys))
        reasons = [
            *_empty_reasons(search, warehouse),
            *_total_reasons(differing, max(search, warehouse), tolerance),
            *(_day_reason(day, tolerance) for day in days if day.status == "bad"),
            *_window_reasons(window),
            *_incomplete_reasons(incomplete),
        ]
    return ParityVerdict(
        status=_worst(STATUS_OF[reason.signal] for reason in reasons),
        es_count=search,
        bq_count=warehouse,
        difference=difference,
        difference_percent=percent,
        threshold_percent=tolerance.threshold_percent,
        min_difference=tolerance.min_difference,
        daily_breakdown=days,
        reasons=tuple(reasons),
    )


def _worst(statuses: Iterable[ParityStatus]) -> ParityStatus:
    found = list(statuses)
    for status in WORST_FIRST:
        if status in found:
            return status
    return "ok"


def _total(buckets: list[Bucket] | None) -> int | None:
    return None if buckets is None else sum(bucket.count for bucket in buckets)


def _differing(keys: KeyDifferences | None) -> int:
    return sum(keys.by_date.values()) if keys else 0


def _judge_days(
    counts: Counts, window: Window, tolerance: Tolerance, keys: KeyDifferences | None
) -> Iterable[DayParity]:
    ours = None if counts.search is None else {b.start: b.count for b in counts.search}
    theirs = None if counts.warehouse is None else {b.start: b.count for b in counts.warehouse}
    differing = keys.by_date if keys else {}
    for span in day_spans(window.span, window.zone):
        day = local_date(span.start, window.zone)
        yield _judge_day(
            DayParity(
                date=day,
                es_count=None if ours is None else ours.get(span.start, 0),
                bq_count=None if theirs is None else theirs.get(span.start, 0),
                differing_keys=differing.get(day, 0),
                whole=window.start <= span.start and span.end <= window.end,
            ),
            tolerance,
        )


def _judge_day(day: DayParity, tolerance: Tolerance) -> DayParity:
    a, b = day.es_count, day.bq_count
    if a is None or b is None:
        return day
    bad = exceeds(max(abs(a - b), day.differing_keys), max(a, b), tolerance)
    return day.model_copy(
        update={
            "difference": abs(a - b),
            "difference_percent": difference_percent(a, b),
            "status": "bad" if bad else "ok",
        }
    )


def _unread_reasons(counts: Counts) -> list[Reason]:
    return [
        Reason(signal="side_unread", value=side, quote=f"the {side} could not be read")
        for side, buckets in counts._asdict().items()
        if buckets is None
    ]


def _empty_reasons(search: int, warehouse: int) -> list[Reason]:
    if not search and not warehouse:
        quote = "no data: neither side has a row in the window"
        return [Reason(signal="no_data", value=0, quote=quote)]
    if search and warehouse:
        return []
    side, other = ("search", "warehouse") if not search else ("warehouse", "search")
    quote = f"the {side} is empty in the window, the {other} has {search or warehouse:,} rows"
    return [Reason(signal="side_empty", value=side, quote=quote)]


def _total_reasons(differing: int, larger: int, tolerance: Tolerance) -> list[Reason]:
    if not exceeds(differing, larger, tolerance):
        return []
    percent, limit = _percent(differing, larger), tolerance.threshold_percent
    quote = f"in total {differing:,} of {larger:,} rows differ ({percent} %, {limit} % allowed)"
    return [Reason(signal="total_differs", value=percent, threshold=limit, quote=quote)]


def _day_reason(day: DayParity, tolerance: Tolerance) -> Reason:
    differing = max(day.difference or 0, day.differing_keys)
    percent = _percent(differing, max(day.es_count or 0, day.bq_count or 0))
    quote = (
        f"{day.date}: {day.es_count:,} rows in search, {day.bq_count:,} in the warehouse, "
        f"{differing:,} differ ({percent} %, {tolerance.threshold_percent} % allowed)"
    )
    return Reason(
        signal="day_differs", value=percent, threshold=tolerance.threshold_percent, quote=quote
    )


def _window_reasons(window: Window) -> list[Reason]:
    if window.hours >= WINDOW_HOURS_MIN:
        return []
    hours = round(window.hours, 1)
    quote = f"the window is {hours} hours long, {WINDOW_HOURS_MIN} are needed for a verdict"
    return [Reason(signal="window_short", value=hours, threshold=WINDOW_HOURS_MIN, quote=quote)]


def _incomplete_reasons(incomplete: str) -> list[Reason]:
    return [Reason(signal="look_incomplete", value=None, quote=incomplete)] if incomplete else []


def _percent(differing: int, larger: int) -> float:
    return round(100 * differing / larger, 2) if larger else 0.0
