"""Which stretch of time is meant, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from roundsman.rules.windows import (
    Settling,
    Span,
    Zone,
    bucket_span,
    day_spans,
    intersect_spans,
    local_date,
    merge_spans,
    settle_window,
)

NOW = datetime(2026, 11, 21, 12, 34, 56, 789, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minutes(number: int) -> datetime:
    return at("2026-01-01") + timedelta(minutes=number)


spans = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 60)).map(
        lambda pair: Span(minutes(pair[0]), minutes(pair[0] + pair[1]))
    ),
    max_size=12,
)
moments = st.datetimes(
    min_value=datetime(2024, 1, 1), max_value=datetime(2027, 12, 31), timezones=st.just(UTC)
)


def instants(parts: list[Span]) -> set[datetime]:
    return {
        part.start + timedelta(minutes=i)
        for part in parts
        for i in range(int((part.end - part.start) / timedelta(minutes=1)))
    }


@pytest.mark.parametrize(
    ("search", "warehouse", "end", "by"),
    [
        (NOW, NOW, "2026-11-21 11:34", "search"),
        (at("2026-11-21 12:00"), at("2026-11-21 10:00"), "2026-11-21 09:00", "warehouse"),
        (at("2026-11-21 10:00"), at("2026-11-21 12:00"), "2026-11-21 09:00", "search"),
        (at("2026-11-30"), at("2026-11-30"), "2026-11-21 11:34", "now"),
        (None, at("2026-11-20 08:00"), "2026-11-20 07:00", "warehouse"),
        (at("2026-11-20 08:00"), None, "2026-11-20 07:00", "search"),
        (None, None, "2026-11-21 11:34", "now"),
    ],
)
def test_the_window_ends_at_the_earliest_of_both_sides_and_now_and_says_whose(
    search: datetime | None, warehouse: datetime | None, end: str, by: str
) -> None:
    window = settle_window(NOW, search, warehouse, Settling())
    assert (window.end, window.ends_by) == (at(end), by)


def test_the_window_holds_whole_days_and_what_has_settled_of_the_last_one() -> None:
    window = settle_window(NOW, None, None, Settling(zone="Europe/Berlin", days=2))
    assert window.start == datetime(2026, 11, 19, tzinfo=ZoneInfo("Europe/Berlin"))
    assert window.end == at("2026-11-21 11:34")
    assert window.hours == pytest.approx(60.57, abs=0.01)


def test_a_window_over_a_change_of_clocks_is_as_long_as_it_was() -> None:
    spring = settle_window(
        at("2026-03-30 12:00"),
        None,
        None,
        Settling(zone="Europe/Berlin", days=2, settle_minutes=0),
    )
    assert spring.hours == 24 + 23 + 14
    assert [span.end - span.start for span in day_spans(spring.span, "Europe/Berlin")] == [
        timedelta(hours=24),
        timedelta(hours=23),
        timedelta(hours=24),
    ]


@given(moments, st.integers(0, 40 * 24), st.sampled_from(ZONES))
def test_days_lie_end_to_end_and_cover_the_span(start: datetime, hours: int, zone: str) -> None:
    span = Span(start, start + timedelta(hours=hours))
    days = day_spans(span, zone)
    assert all(a.end == b.start for a, b in pairwise(days))
    assert all(timedelta(hours=23) <= day.end - day.start <= timedelta(hours=25) for day in days)
    if hours:
        assert days[0].start <= span.start < days[0].end
        assert days[-1].start < span.end <= days[-1].end
    for day in days:
        assert bucket_span(day.start, "day", zone) == day
        assert local_date(day.start, zone) == local_date(day.end - timedelta(seconds=1), zone)


def test_a_place_that_skipped_a_day_has_no_empty_one() -> None:
    days = day_spans(Span(at("2011-12-29 12:00"), at("2012-01-01")), "Pacific/Apia")
    assert all(day.end > day.start for day in days)
    assert all(a.end == b.start for a, b in pairwise(days))


@pytest.mark.parametrize(("level", "length"), [("hour", 60), ("minute", 1)])
def test_hours_and_minutes_are_those_of_utc(level: str, length: int) -> None:
    start = at("2026-03-29 01:00")
    span = bucket_span(start, level, "Europe/Berlin")  # pyright: ignore[reportArgumentType]
    assert span == Span(start, start + timedelta(minutes=length))


@given(spans)
def test_merged_spans_hold_the_same_instants_once_and_apart(parts: list[Span]) -> None:
    merged = merge_spans(parts)
    assert instants(merged) == instants(parts)
    assert all(a.end < b.start for a, b in pairwise(merged))
    assert merge_spans(merged) == merged


@given(spans, spans)
def test_an_intersection_holds_what_is_in_both(ours: list[Span], theirs: list[Span]) -> None:
    common = intersect_spans(ours, theirs)
    assert instants(common) == instants(ours) & instants(theirs)
    assert common == merge_spans(common)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe/"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is no time zone"):
        TypeAdapter(Zone).validate_python(name)


def test_a_time_zone_is_taken_by_its_name() -> None:
    assert TypeAdapter(Zone).validate_python("Europe/Berlin") == "Europe/Berlin"
