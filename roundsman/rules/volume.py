"""Is a day's number of rows unusual for its own series; informational, never a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from math import sqrt
from statistics import median
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from roundsman.rules.reasons import Reason
from roundsman.rules.windows import Bucket, Side, Window, day_spans, local_date

# A modified z-score beyond 3.5 is an outlier: Iglewicz and Hoaglin, How to Detect Outliers, 1993.
SCORE_MAX = 3.5
# Scales the median absolute deviation to a standard deviation of normal values.
MAD_TO_DEVIATION = 1.4826
# Below this many comparable days nothing is said.
HISTORY_DAYS_MIN = 6
# With this many other days of its kind (weekdays, weekend) a day is compared with those only.
KIND_DAYS_MIN = 3
# A quiet series must not make a harmless day an outlier.
DEVIATION_SHARE_MIN = 0.1
# So many days at a similar level make it one that belongs to the series.
PEERS_MIN = 2


class DayCount(NamedTuple):
    """The rows of one whole day."""

    day: date
    rows: int


class UnusualDay(BaseModel):
    """A day whose count lies far from the usual one; `usual` is the median of comparable days."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: Side
    day: date
    count: int
    usual: float
    score: float
    reason: Reason


def whole_days(buckets: Iterable[Bucket], window: Window) -> list[DayCount]:
    """The window's whole days after the first one with rows, which the series may have entered."""
    counts = {bucket.start: bucket.count for bucket in buckets}
    series = [
        DayCount(local_date(span.start, window.zone), counts.get(span.start, 0))
        for span in day_spans(window.span, window.zone)
        if window.start <= span.start and span.end <= window.end
    ]
    first = next((i for i, day in enumerate(series) if day.rows), len(series))
    return series[first + 1 :]


def find_unusual_days(side: Side, series: Sequence[DayCount]) -> tuple[UnusualDay, ...]:
    """The outliers among whole days, each compared with the others by median and MAD."""
    if len(series) <= HISTORY_DAYS_MIN:
        return ()
    judged = (_judge(side, day, series) for day in series)
    return tuple(unusual for unusual in judged if unusual is not None)


def _judge(side: Side, day: DayCount, series: Sequence[DayCount]) -> UnusualDay | None:
    others = [other for other in series if other.day != day.day]
    kin = [other for other in others if _is_weekend(other.day) == _is_weekend(day.day)]
    counts = [other.rows for other in (kin if len(kin) >= KIND_DAYS_MIN else others)]
    usual = median(counts)
    spread = MAD_TO_DEVIATION * median(abs(count - usual) for count in counts)
    score = round((day.rows - usual) / max(spread, _scatter(usual)), 1)
    if abs(score) <= SCORE_MAX or _has_peers(day, others):
        return None
    quote = f"{day.day}: {day.rows:,} rows in the {side}, about {usual:,.0f} are usual"
    reason = Reason(signal="volume_unusual", value=score, threshold=SCORE_MAX, quote=quote)
    return UnusualDay(
        side=side, day=day.day, count=day.rows, usual=usual, score=score, reason=reason
    )


def _has_peers(day: DayCount, others: Sequence[DayCount]) -> bool:
    """Whether the same weekday was alike once, or, without such a day, any two days were.

    A company's weekend may begin on Thursday: a level that comes back is no outlier.
    """
    near = [
        other for other in others if abs(other.rows - day.rows) <= SCORE_MAX * _scatter(day.rows)
    ]
    weekday = day.day.weekday()
    if any(other.day.weekday() == weekday for other in others):
        return any(other.day.weekday() == weekday for other in near)
    return len(near) >= PEERS_MIN


def _scatter(count: float) -> float:
    """How far apart harmless days may be; counting alone scatters by the root of the count."""
    return max(DEVIATION_SHARE_MIN * count, sqrt(count), 1.0)


def _is_weekend(day: date) -> bool:
    return day.weekday() >= 5
