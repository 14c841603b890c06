"""Which days are unusual for their own series, and which only look so."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.volume import DayCount, find_unusual_days, whole_days
from roundsman.rules.windows import Bucket, Window

MONDAY = date(2026, 11, 2)


def series(*counts: int, start: date = MONDAY) -> list[DayCount]:
    return [DayCount(start + timedelta(days=i), count) for i, count in enumerate(counts)]


WEEK = (270, 280, 265, 272, 281, 110, 105)


@pytest.mark.parametrize(
    ("counts", "unusual"),
    [
        ((*WEEK, *WEEK), []),
        ((*WEEK, 270, 280, 2, 272, 281, 110, 105), [9]),
        ((*WEEK, 270, 280, 110, 272, 281, 110, 105), [9]),
        ((*WEEK, 270, 280, 900, 272, 281, 110, 105), [9]),
        ((*WEEK, 270, 280, 265, 272, 281, 110, 900), [13]),
        ((5, 900, 5, 900, 5, 900), []),
        ((100, 100, 100, 100, 100, 100, 100, 0), [7]),
        ((3, 1, 4, 1, 5, 2, 0, 2, 6, 3), []),
        ((0, 0, 0, 0, 0, 0, 0, 0, 0), []),
    ],
)
def test_an_outlier_is_found_and_a_weekend_is_none(
    counts: tuple[int, ...], unusual: list[int]
) -> None:
    found = find_unusual_days("search", series(*counts))
    assert [(day.day - MONDAY).days for day in found] == unusual


def test_a_weekend_on_other_days_is_no_outlier_once_it_came_back() -> None:
    friday_off = (270, 280, 265, 272, 110, 113, 268)
    assert find_unusual_days("search", series(*friday_off, *friday_off)) == ()


def test_an_unusual_day_says_what_would_have_been_usual() -> None:
    (found,) = find_unusual_days("warehouse", series(*WEEK, 270, 280, 2, 272, 281, 110, 105))
    assert found.reason.quote == "2026-11-11: 2 rows in the warehouse, about 272 are usual"
    assert found.score < -3.5


@given(st.integers(10, 10_000), st.integers(7, 40))
def test_an_even_series_has_no_outlier(count: int, days: int) -> None:
    assert find_unusual_days("search", series(*[count] * days)) == ()


def test_only_whole_days_after_the_first_with_rows_are_a_history() -> None:
    start = datetime(2026, 11, 2, tzinfo=UTC)
    window = Window(
        start=start,
        end=start + timedelta(days=5, hours=7),
        zone="UTC",
        settle_minutes=60,
        ends_by="now",
    )
    buckets = [Bucket(start + timedelta(days=i), count) for i, count in ((1, 9), (2, 50), (4, 60))]
    assert whole_days(buckets, window) == series(50, 0, 60, start=date(2026, 11, 4))
