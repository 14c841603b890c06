"""When a round starts next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from roundsman.rules.schedule import next_start

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedules", "start"),
    [
        ([], None),
        ([{"cron": "0 6 * * *"}], datetime(2026, 3, 29, 6, 0, tzinfo=UTC)),
        ([{"cron": "0 12 * * *"}], datetime(2026, 3, 29, 12, 0, tzinfo=UTC)),
        # In Berlin the clock goes on by an hour in that night.
        (
            [{"cron": "0 6 * * *", "timezone": "Europe/Berlin"}],
            datetime(2026, 3, 29, 4, 0, tzinfo=UTC),
        ),
        (
            [{"cron": "0 6 * * *"}, {"cron": "0 13 * * *"}],
            datetime(2026, 3, 28, 13, 0, tzinfo=UTC),
        ),
        ([{"cron": "0 13 * * *", "active": False}], None),
        ([{"interval": 3600}], None),
        ([{"cron": "every day"}], None),
        ([{"cron": "0 0 30 2 *"}], None),
        ([{"cron": "0 6 * * *", "timezone": "Mars/Olympus"}], None),
        ([{"cron": 6}], None),
        (
            [{"interval": 3600, "anchor_date": "2026-03-01T00:30:00Z"}],
            datetime(2026, 3, 28, 12, 30, tzinfo=UTC),
        ),
        (
            [{"interval": 3600.0, "anchor_date": datetime(2026, 3, 1, tzinfo=UTC)}],
            datetime(2026, 3, 28, 13, 0, tzinfo=UTC),
        ),
        # A day of the clock on the wall, in the night in which that goes on by an hour.
        (
            [
                {
                    "interval": 86_400,
                    "anchor_date": "2026-03-01T09:00:00",
                    "timezone": "Europe/Berlin",
                }
            ],
            datetime(2026, 3, 29, 7, 0, tzinfo=UTC),
        ),
        (
            [{"interval": 86_400, "anchor_date": "2026-06-01T09:00:00Z"}],
            datetime(2026, 6, 1, 9, 0, tzinfo=UTC),
        ),
        ([{"interval": 0, "anchor_date": "2026-03-01"}], None),
        ([{"interval": "soon", "anchor_date": "2026-03-01"}], None),
        ([{"interval": 3600, "anchor_date": "soon"}], None),
        ([{"interval": 86_400, "anchor_date": "2026-03-01"}], datetime(2026, 3, 29, tzinfo=UTC)),
        ([{"rrule": "FREQ=DAILY;BYHOUR=6"}], datetime(2026, 3, 29, 6, 0, tzinfo=UTC)),
        (
            [{"rrule": "RRULE:FREQ=WEEKLY;BYDAY=MO;BYHOUR=9", "timezone": "Europe/Berlin"}],
            datetime(2026, 3, 30, 7, 0, tzinfo=UTC),
        ),
        (
            [{"rrule": "DTSTART:20260301T101500\nRRULE:FREQ=HOURLY;INTERVAL=2"}],
            datetime(2026, 3, 28, 12, 15, tzinfo=UTC),
        ),
        ([{"rrule": "FREQ=DAILY;UNTIL=20260101T000000Z"}], None),
        ([{"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}], None),
        ([{"rrule": "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30"}], None),
        ([{"rrule": "FREQ=SECONDLY"}], None),
        ([{"rrule": "RRULE:FREQ=DAILY\nEXRULE:FREQ=WEEKLY"}], None),
        ([{"rrule": "every day"}], None),
    ],
)
def test_the_nearest_start_of_a_schedule_in_force_counts(
    schedules: list[dict[str, Any]], start: datetime | None
) -> None:
    assert next_start(schedules, NOW) == start
