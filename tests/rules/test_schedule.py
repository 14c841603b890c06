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
    ],
)
def test_the_nearest_start_of_a_schedule_in_force_counts(
    schedules: list[dict[str, Any]], start: datetime | None
) -> None:
    assert next_start(schedules, NOW) == start
