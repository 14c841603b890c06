"""Is a day's number of rows unusual for its own series; informational, never a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import sqrt
from statistics import median
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from roundsman.rules.reasons import Reason
from roundsman.rules.windows import Side

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


def find_unusual_days(side: Side, series: Sequence[DayCount]) -> tuple[UnusualDay, ...]:
    """The outliers among whole days, each compared with the others by median and MAD."""
    if len(series) <= HISTORY_DAYS_MIN:
        return ()
    judged = (_judge(side, day, series) for day in series)
    return tuple(unusual for unusual in judged if unusual is not None)


def _judge(side: Side, day: DayCount, series: Sequence[DayCount]) -> UnusualDay | None:
    others = [other for other in series if other.day != day.day]
    alike = [other for other in others if _is_weekend(other.day) == _is_weekend(day.day)]
    counts = [other.rows for other in (alike if len(alike) >= KIND_DAYS_MIN else others)]
    usual = median(counts)
    spread = MAD_TO_DEVIATION * median(abs(count - usual) for count in counts)
    # Counting alone scatters by the root of the count.
    deviation = max(spread, DEVIATION_SHARE_MIN * usual, sqrt(usual), 1.0)
    score = round((day.rows - usual) / deviation, 1)
    if abs(score) <= SCORE_MAX:
        return None
    quote = f"{day.day}: {day.rows:,} rows in the {side}, about {usual:,.0f} are usual"
    reason = Reason(signal="volume_unusual", value=score, threshold=SCORE_MAX, quote=quote)
    return UnusualDay(
        side=side, day=day.day, count=day.rows, usual=usual, score=score, reason=reason
    )


def _is_weekend(day: date) -> bool:
    return day.weekday() >= 5
