"""When a round starts next, by the schedules that prefect.yaml gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadCronError, CroniterBadDateError, croniter
from dateutil.rrule import rrule, rrulestr

# Prefect counts a rule from here unless it has a DTSTART of its own.
RULES_BEGIN = datetime(2020, 1, 1)  # noqa: DTZ001 a place on the wall, in the schedule's zone
# A rule that names no day within so long is not looked for further.
LOOK_AHEAD = timedelta(days=366 * 4 + 1)
# dateutil goes through every one of them, from the rule's begin on.
STEPS_MAX = 200_000
SECONDS_OF = {"SECONDLY": 1, "MINUTELY": 60, "HOURLY": 3_600}
PICKY_MIN = 2
NARROW = frozenset({*SECONDS_OF, "DAILY", "WEEKLY"})

UNREADABLE = (
    *(CroniterBadCronError, CroniterBadDateError, ZoneInfoNotFoundError),
    *(ValueError, TypeError, OverflowError),
)

_BEGIN = re.compile(r"DTSTART[^:]*:(\d{8})", re.IGNORECASE)
_ENDS = re.compile(r"UNTIL=|COUNT=", re.IGNORECASE)
# Two of them may name no day at all, and dateutil looks for it until the year 9999.
_PICKY = re.compile(r"BY(MONTH|MONTHDAY|YEARDAY|WEEKNO|EASTER|SETPOS)=", re.IGNORECASE)
_FREQUENCY = re.compile(r"FREQ=(\w+)", re.IGNORECASE)


def next_start(schedules: Sequence[Mapping[str, Any]], now: datetime) -> datetime | None:
    """The nearest start after `now`, in UTC; None where no schedule in force names one.

    An interval without `anchor_date` counts from when the server first saw it, which is not known
    here; neither computed are a set of several rules, and one that has too many starts to count.
    """
    starts = [_next(one, now) for one in schedules if one.get("active", True)]
    return min((start for start in starts if start is not None), default=None)


def _next(schedule: Mapping[str, Any], now: datetime) -> datetime | None:
    try:
        zone = ZoneInfo(str(schedule.get("timezone") or "UTC"))
        if isinstance(schedule.get("cron"), str):
            return _of_cron(schedule, now, zone)
        if "interval" in schedule:
            return _of_interval(schedule, now, zone)
        if isinstance(schedule.get("rrule"), str):
            return _of_rule(schedule["rrule"], now, zone)
    except UNREADABLE:
        # Prefect refuses to deploy such a schedule: it will never start anything.
        return None
    return None


def _of_cron(schedule: Mapping[str, Any], now: datetime, zone: ZoneInfo) -> datetime:
    day_or = bool(schedule.get("day_or", True))
    found = croniter(schedule["cron"], now.astimezone(zone), day_or=day_or)
    start: datetime = found.get_next(datetime)
    return start.astimezone(UTC)


def _of_interval(schedule: Mapping[str, Any], now: datetime, zone: ZoneInfo) -> datetime | None:
    anchor, seconds = _instant(schedule.get("anchor_date"), zone), float(schedule["interval"])
    if anchor is None or seconds <= 0:
        return None
    every = timedelta(seconds=seconds)
    start = anchor + every * max(0, (now - anchor) // every)
    while start <= now:
        # As Prefect does: whole days go on by the clock on the wall, the rest by time that passes.
        wall = start.astimezone(zone).replace(tzinfo=None) + timedelta(days=every.days)
        rest = every - timedelta(days=every.days)
        start = wall.replace(tzinfo=zone).astimezone(UTC) + rest if every.days else start + every
    return start


def _of_rule(text: str, now: datetime, zone: ZoneInfo) -> datetime | None:
    rule: object = rrulestr(text, dtstart=RULES_BEGIN, ignoretz=True)
    if not isinstance(rule, rrule):
        return None
    wall = now.astimezone(zone).replace(tzinfo=None)
    begun, frequency, has_end = (one.search(text) for one in (_BEGIN, _FREQUENCY, _ENDS))
    begin = datetime.strptime(begun[1], "%Y%m%d") if begun else RULES_BEGIN  # noqa: DTZ007 as above
    end, word = max(wall, begin) + LOOK_AHEAD, frequency[1].upper() if frequency else ""
    if (end - begin).total_seconds() / SECONDS_OF.get(word, 86_400) > STEPS_MAX:
        return None
    if word in NARROW and len(_PICKY.findall(text)) >= PICKY_MIN:
        return None
    # One that has an end of its own cannot be given another.
    bounded = rule if has_end else rule.replace(until=end)
    found = next(iter(bounded.xafter(wall)), None)
    return None if found is None else found.replace(tzinfo=zone).astimezone(UTC)


def _instant(told: object, zone: ZoneInfo) -> datetime | None:
    """An `anchor_date` as YAML reads it; without a zone it is one of the schedule's own."""
    at = datetime.fromisoformat(told) if isinstance(told, str) else told
    if isinstance(at, date) and not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day)  # noqa: DTZ001 its zone is given right below
    if not isinstance(at, datetime):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
