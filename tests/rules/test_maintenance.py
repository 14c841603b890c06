"""When messages wait: hours of weekdays by a place's clocks, and single stretches."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from pydantic import ValidationError

from roundsman.rules.maintenance import Once, Weekly, maintenance_at

# A Saturday.
SATURDAY = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "inside"),
    [(1.9, False), (2, True), (3.99, True), (4, False), (26.5, False), (24 * 7 + 2, True)],
)
def test_a_weekly_window_includes_its_start_and_not_its_end(hours: float, inside: bool) -> None:
    window = Weekly(weekdays=("sat",), start=time(2), end=time(4))
    assert window.covers(SATURDAY + timedelta(hours=hours)) is inside


@pytest.mark.parametrize(
    ("hours", "inside"), [(21, False), (22, True), (25.5, True), (26, False), (1, False)]
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(
    hours: float, inside: bool
) -> None:
    window = Weekly(weekdays=("sat",), start=time(22), end=time(2))
    assert window.covers(SATURDAY + timedelta(hours=hours)) is inside


def test_from_midnight_to_midnight_is_the_whole_day() -> None:
    window = Weekly(weekdays=("sat",), start=time(0), end=time(0))
    assert [window.covers(SATURDAY + timedelta(hours=h)) for h in (-1, 0, 23, 24)] == [
        *(False, True, True, False)
    ]


def test_the_clocks_are_those_of_the_place_in_summer_and_in_winter() -> None:
    window = Weekly(start=time(2), end=time(4), zone="Europe/Berlin")
    assert window.covers(datetime(2026, 1, 10, 1, 30, tzinfo=UTC))
    assert not window.covers(datetime(2026, 7, 10, 2, 30, tzinfo=UTC))
    assert window.covers(datetime(2026, 7, 10, 0, 30, tzinfo=UTC))


def test_a_stretch_includes_its_start_and_not_its_end() -> None:
    window = Once(since=SATURDAY, until=SATURDAY + timedelta(hours=1))
    assert [window.covers(SATURDAY + timedelta(minutes=m)) for m in (-1, 0, 59, 60)] == [
        *(False, True, True, False)
    ]
    assert maintenance_at((window,), SATURDAY) == window
    assert maintenance_at((window,), SATURDAY - timedelta(1)) is None


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (Weekly(start=time(22), end=time(2, 30)), "daily 22:00 to 02:30 UTC"),
        (
            Weekly(weekdays=("sat", "sun"), start=time(1), end=time(2)),
            "sat, sun 01:00 to 02:00 UTC",
        ),
    ],
)
def test_a_window_says_when_it_is(window: Weekly, words: str) -> None:
    assert str(window) == words


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "02:00", "end": "04:00", "zone": "Mars/Olympus"},
        {"start": "02:00Z", "end": "04:00"},
        {"weekdays": [], "start": "02:00", "end": "04:00"},
        {"weekdays": ["caturday"], "start": "02:00", "end": "04:00"},
    ],
)
def test_a_window_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Weekly.model_validate(wrong)


def test_a_stretch_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValidationError, match="'until' must be later than 'since'"):
        Once(since=SATURDAY, until=SATURDAY)
