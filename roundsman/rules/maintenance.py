"""When messages are held back: the maintenance windows of a round."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from roundsman.rules.approval import WEEKDAYS, Weekday
from roundsman.rules.windows import Zone


def _without_zone(at: time) -> time:
    if at.tzinfo is not None:
        raise ValueError("write it as HH:MM and name the time zone in 'zone'")
    return at


Clock = Annotated[time, AfterValidator(_without_zone)]


class Weekly(BaseModel):
    """Hours of some weekdays, by a place's clocks.

    An end that is not after the start is the next day's; the weekday is that of the start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weekdays: tuple[Weekday, ...] = Field(default=WEEKDAYS, min_length=1)
    start: Clock
    end: Clock
    zone: Zone = "UTC"

    def covers(self, at: datetime) -> bool:
        """Whether the instant is inside; the start is, the end is not."""
        local = at.astimezone(ZoneInfo(self.zone))
        today, yesterday = (
            WEEKDAYS[day.weekday()] in self.weekdays for day in (local, local - timedelta(days=1))
        )
        clock = local.time()
        if self.start < self.end:
            return today and self.start <= clock < self.end
        return (today and clock >= self.start) or (yesterday and clock < self.end)

    def __str__(self) -> str:
        days = "daily" if len(set(self.weekdays)) == len(WEEKDAYS) else ", ".join(self.weekdays)
        return f"{days} {self.start:%H:%M} to {self.end:%H:%M} {self.zone}"


class Once(BaseModel):
    """One stretch of time; the start is inside, the end is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime
    until: AwareDatetime

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.until <= self.since:
            raise ValueError("'until' must be later than 'since'")
        return self

    def covers(self, at: datetime) -> bool:
        """Whether the instant is inside."""
        return self.since <= at < self.until

    def __str__(self) -> str:
        return f"{self.since.isoformat()} to {self.until.isoformat()}"


Maintenance = Weekly | Once


def maintenance_at(windows: Iterable[Maintenance], at: datetime) -> Maintenance | None:
    """The window that covers an instant, if one does."""
    return next((window for window in windows if window.covers(at)), None)
