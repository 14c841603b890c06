"""When a round starts next, by the schedules that prefect.yaml gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadCronError, CroniterBadDateError, croniter


def next_start(schedules: Sequence[Mapping[str, Any]], now: datetime) -> datetime | None:
    """The nearest start after `now`, in UTC; None where no schedule in force names one.

    Only `cron` is computed. An interval counts from when the server first saw it, which is not
    known here.
    """
    starts = [_next(one, now) for one in schedules if one.get("active", True)]
    return min((start for start in starts if start is not None), default=None)


def _next(schedule: Mapping[str, Any], now: datetime) -> datetime | None:
    cron = schedule.get("cron")
    if not isinstance(cron, str):
        return None
    try:
        zone = ZoneInfo(str(schedule.get("timezone") or "UTC"))
        found = croniter(cron, now.astimezone(zone), day_or=bool(schedule.get("day_or", True)))
        start: datetime = found.get_next(datetime)
    except (CroniterBadCronError, CroniterBadDateError, ZoneInfoNotFoundError, ValueError):
        # Prefect refuses to deploy such a schedule: it will never start anything.
        return None
    return start.astimezone(UTC)
