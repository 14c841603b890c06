"""Which stretch of time is meant: the nouns of a comparison, the arithmetic of spans and days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict

Level = Literal["day", "hour", "minute"]
FieldType = Literal["timestamp", "keyword", "text", "integer", "number", "boolean", "other"]


def _known_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"'{name}' is no time zone; name one such as 'Europe/Berlin'") from error


Zone = Annotated[str, AfterValidator(_known_zone)]
Scalar = str | int | float | bool
Side = Literal["search", "warehouse"]
EndsBy = Literal["now", "search", "warehouse"]


class Span(NamedTuple):
    """A stretch of time in UTC, half-open: the start is inside, the end is not."""

    start: datetime
    end: datetime


class Dataset(BaseModel):
    """One side of a comparison: where the rows are and which of their fields mean what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    time_field: str
    key_field: str
    fingerprint_field: str | None = None
    filter: dict[str, Scalar | list[Scalar]] = {}


class Bucket(NamedTuple):
    """The rows of one day, hour or minute; `start` is UTC and only non-empty buckets exist."""

    start: datetime
    count: int  # pyright: ignore[reportIncompatibleMethodOverride]  # nobody counts in a bucket
    fingerprint_sum: int | None = None


class Row(NamedTuple):
    """What is compared of one row."""

    key: str
    at: datetime
    fingerprint: int | None = None


class Listing(NamedTuple):
    """Rows sorted by (at, key); `cut` says that there were more than the limit."""

    rows: list[Row]
    cut: bool


class Newest(NamedTuple):
    """The latest time, None when there is no row, and whether metadata was enough to know it."""

    at: datetime | None
    by: Literal["metadata", "query"]


class Estimate(NamedTuple):
    """What a read would touch; None where the system does not say."""

    rows: int | None
    bytes: int | None


class Reading(NamedTuple):
    """One read that a run would make, and what it would touch: what `--explain` prints."""

    system: str
    what: str
    why: str
    rows: int | None
    bytes: int | None


class Settling(BaseModel):
    """Which window is wanted: so many whole days of a zone, and what has settled of today."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str = "UTC"
    days: int = 14
    settle_minutes: int = 60


class Window(BaseModel):
    """The stretch that is compared; `ends_by` says whose time ended it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: datetime
    end: datetime
    zone: str
    settle_minutes: int
    ends_by: EndsBy

    @property
    def span(self) -> Span:
        """The window as the blocks take it."""
        return Span(self.start, self.end)

    @property
    def hours(self) -> float:
        """Its true length, whatever the clocks did."""
        return (self.end - self.start) / timedelta(hours=1)


class Probe(BaseModel):
    """What a system says about itself when it is asked."""

    model_config = ConfigDict(frozen=True)

    reachable: bool
    version: str
    can_write: bool | None
    notes: tuple[str, ...] = ()


def settle_window(
    now: datetime, search: datetime | None, warehouse: datetime | None, settling: Settling
) -> Window:
    """The window that both sides should know completely.

    It ends, on a whole minute, `settle_minutes` before the earliest of now and the newest row of
    each side; a side without rows does not count. It begins `days` local midnights before the
    day of its end, so that it holds that many whole days and the settled part of the last one.
    """
    by, earliest = _earliest(now, search, warehouse)
    end = earliest.astimezone(UTC) - timedelta(minutes=settling.settle_minutes)
    end = end.replace(second=0, microsecond=0)
    place = ZoneInfo(settling.zone)
    first = end.astimezone(place).date() - timedelta(days=settling.days)
    return Window(
        start=_midnight(first, place),
        end=end,
        zone=settling.zone,
        settle_minutes=settling.settle_minutes,
        ends_by=by,
    )


def _earliest(
    now: datetime, search: datetime | None, warehouse: datetime | None
) -> tuple[EndsBy, datetime]:
    if search and search <= now and (warehouse is None or search <= warehouse):
        return "search", search
    if warehouse and warehouse <= now:
        return "warehouse", warehouse
    return "now", now


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """The same instants as ascending spans that neither overlap nor touch; empty spans vanish."""
    merged: list[Span] = []
    for span in sorted(spans):
        if span.end <= span.start:
            continue
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def intersect_spans(first: Iterable[Span], second: Iterable[Span]) -> list[Span]:
    """The instants that are in both, as merged spans."""
    ours, theirs = merge_spans(first), merge_spans(second)
    common: list[Span] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        a, b = ours[i], theirs[j]
        common.append(Span(max(a.start, b.start), min(a.end, b.end)))
        if a.end <= b.end:
            i += 1
        else:
            j += 1
    return merge_spans(common)


def day_spans(span: Span, zone: str) -> list[Span]:
    """The calendar days of `zone` that the span touches, whole, in UTC (23 to 25 hours long)."""
    place = ZoneInfo(zone)
    day = span.start.astimezone(place).date()
    days: list[Span] = []
    while (start := _midnight(day, place)) < span.end:
        day += timedelta(days=1)
        days.append(Span(start, _midnight(day, place)))
    # A place that crossed the date line has a day without hours.
    return [day for day in days if day.end > day.start]


def bucket_span(start: datetime, level: Level, zone: str) -> Span:
    """The whole bucket that begins at `start`."""
    if level == "day":
        place = ZoneInfo(zone)
        following = start.astimezone(place).date() + timedelta(days=1)
        return Span(start, _midnight(following, place))
    return Span(start, start + timedelta(**{f"{level}s": 1}))


def local_date(at: datetime, zone: str) -> date:
    """The calendar day of an instant at a place."""
    return at.astimezone(ZoneInfo(zone)).date()


def _midnight(day: date, place: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), place).astimezone(UTC)
