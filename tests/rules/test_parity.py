"""Do both sides hold the same rows: percentages, days, totals, keys, and what is never ok."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.keys import KeyDifferences, compare_keys, join_keys
from roundsman.rules.parity import (
    Counts,
    ParityVerdict,
    Tolerance,
    difference_percent,
    exceeds,
    judge_parity,
)
from roundsman.rules.windows import Bucket, Listing, Row, Window

DAY = datetime(2026, 11, 16, tzinfo=UTC)
TOLERANCE = Tolerance()


def window(hours: float = 72, zone: str = "UTC", start: datetime = DAY) -> Window:
    end = start + timedelta(hours=hours)
    return Window(start=start, end=end, zone=zone, settle_minutes=60, ends_by="now")


def buckets(*counts: int) -> list[Bucket]:
    return [Bucket(DAY + timedelta(days=i), count) for i, count in enumerate(counts) if count]


def judge(search: Any, warehouse: Any, **more: Any) -> ParityVerdict:
    return judge_parity(Counts(search, warehouse), more.pop("window", window()), TOLERANCE, **more)


def signals(verdict: ParityVerdict) -> list[str]:
    return [reason.signal for reason in verdict.reasons]


@pytest.mark.covers("A-040")
@pytest.mark.parametrize(
    ("search", "warehouse", "percent"),
    [
        (15_000, 15_100, 0.66),
        (15_100, 15_000, 0.66),
        (0, 0, 0.0),
        (0, 7, 100.0),
        (7, 0, 100.0),
        (100, 95, 5.0),
        (1_000_000, 1_000_000, 0.0),
    ],
)
def test_the_difference_is_told_in_percent_of_the_larger_side(
    search: int, warehouse: int, percent: float
) -> None:
    assert difference_percent(search, warehouse) == percent


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_percent_is_the_same_both_ways_and_never_beyond_a_hundred(a: int, b: int) -> None:
    assert difference_percent(a, b) == difference_percent(b, a)
    assert 0 <= difference_percent(a, b) <= 100


@pytest.mark.parametrize(
    ("differing", "larger", "bad"),
    [
        (10, 100, False),
        (11, 100, True),
        (11, 220, False),
        (12, 220, True),
        (50, 1_000, False),
        (51, 1_000, True),
        (0, 0, False),
        (5_000_001, 100_000_000, True),
    ],
)
def test_a_difference_is_bad_only_beyond_the_percentage_and_beyond_the_number(
    differing: int, larger: int, bad: bool
) -> None:
    assert exceeds(differing, larger, TOLERANCE) is bad


@pytest.mark.covers("A-040", "A-045")
def test_the_numbers_of_the_contract() -> None:
    verdict = judge(buckets(5_000, 5_000, 5_000), buckets(5_100, 5_000, 5_000))
    told = verdict.model_dump(mode="json")
    assert told["status"] == "ok"
    assert (told["es_count"], told["bq_count"]) == (15_000, 15_100)
    assert (told["difference_percent"], told["threshold_percent"]) == (0.66, 5.0)
    assert [day["date"] for day in told["daily_breakdown"]] == [
        "2026-11-16",
        "2026-11-17",
        "2026-11-18",
    ]
    assert told["daily_breakdown"][0]["difference"] == 100


def test_one_bad_day_is_enough_though_the_total_is_fine() -> None:
    verdict = judge(buckets(1_000, 9_000, 9_000), buckets(900, 9_000, 9_000))
    assert verdict.status == "degraded"
    assert signals(verdict) == ["day_differs"]
    assert [str(day.date) for day in verdict.bad_days] == ["2026-11-16"]
    assert verdict.reasons[0].quote == (
        "2026-11-16: 1,000 rows in search, 900 in the warehouse, 100 differ (10.0 %, 5.0 % allowed)"
    )


def test_days_that_are_fine_may_add_up_to_a_bad_total() -> None:
    verdict = judge(buckets(100, 100, 100), buckets(92, 92, 92))
    assert signals(verdict) == ["total_differs"]
    assert verdict.status == "degraded"


def test_differences_that_balance_out_over_days_are_still_bad_days() -> None:
    verdict = judge(buckets(1_000, 900), buckets(900, 1_000))
    assert verdict.difference == 0
    assert len(verdict.bad_days) == 2


@pytest.mark.parametrize(
    ("search", "warehouse", "side"),
    [((0, 0, 0), (3, 0, 0), "search"), ((3, 0, 0), (0, 0, 0), "warehouse")],
)
def test_one_side_empty_is_never_ok_however_few_rows_the_other_has(
    search: tuple[int, ...], warehouse: tuple[int, ...], side: str
) -> None:
    verdict = judge(buckets(*search), buckets(*warehouse))
    assert verdict.status == "failed"
    assert (verdict.reasons[0].signal, verdict.reasons[0].value) == ("side_empty", side)


def test_both_sides_empty_is_no_data_and_not_parity() -> None:
    verdict = judge([], [])
    assert verdict.status == "unknown"
    assert verdict.reasons[0].quote == "no data: neither side has a row in the window"


@pytest.mark.parametrize(("hours", "status"), [(23.9, "unknown"), (24, "ok")])
def test_a_window_under_a_day_is_never_ok(hours: float, status: str) -> None:
    verdict = judge(buckets(100), buckets(100), window=window(hours))
    assert verdict.status == status


def test_a_short_window_that_differs_is_degraded_all_the_same() -> None:
    assert judge(buckets(100), buckets(50), window=window(5)).status == "degraded"


@pytest.mark.parametrize("side", ["search", "warehouse"])
def test_a_side_that_was_not_read_is_unknown_and_the_other_is_still_told(side: str) -> None:
    counts = Counts(buckets(5), buckets(5))._replace(**{side: None})
    verdict = judge_parity(counts, window(), TOLERANCE)
    assert verdict.status == "unknown"
    assert signals(verdict) == ["side_unread"]
    assert verdict.difference_percent is None
    assert {verdict.es_count, verdict.bq_count} == {5, None}
    assert {day.status for day in verdict.daily_breakdown} == {"unknown"}


def keys_apart(number: int) -> KeyDifferences:
    def rows(prefix: str) -> Listing:
        times = (DAY + timedelta(minutes=i) for i in range(number))
        return Listing([Row(f"{prefix}{i}", at) for i, at in enumerate(times)], cut=False)

    return compare_keys(rows("a"), rows("b"))


def test_balanced_differences_that_keys_show_make_a_day_bad() -> None:
    verdict = judge(buckets(200, 200, 200), buckets(200, 200, 200), keys=keys_apart(10))
    assert verdict.status == "degraded"
    assert verdict.daily_breakdown[0].differing_keys == 20
    assert verdict.difference == 0


@pytest.mark.parametrize("keys_max", [1, 1_000])
def test_how_many_keys_are_named_changes_no_verdict(keys_max: int) -> None:
    keys = join_keys([keys_apart(10)], keys_max)
    verdict = judge(buckets(200, 200, 200), buckets(200, 200, 200), keys=keys)
    assert verdict.status == "degraded"
    assert [day.differing_keys for day in verdict.daily_breakdown] == [20, 0, 0]


def test_a_few_differing_keys_are_tolerated() -> None:
    assert judge(buckets(200), buckets(200), keys=keys_apart(5)).status == "ok"


def test_a_look_less_deep_than_asked_for_is_never_ok() -> None:
    verdict = judge(buckets(200), buckets(200), incomplete="the look is incomplete")
    assert (verdict.status, signals(verdict)) == ("unknown", ["look_incomplete"])


def test_the_days_are_those_of_the_place_also_where_the_clock_changes() -> None:
    start = datetime(2026, 10, 24, 22, tzinfo=UTC)
    long_day = [Bucket(start, 50), Bucket(start + timedelta(hours=25), 60)]
    verdict = judge(long_day, long_day, window=window(49, "Europe/Berlin", start))
    assert [(str(day.date), day.es_count, day.whole) for day in verdict.daily_breakdown] == [
        ("2026-10-25", 50, True),
        ("2026-10-26", 60, True),
    ]


def test_a_day_that_the_window_cuts_is_marked() -> None:
    verdict = judge(buckets(10, 10), buckets(10, 10), window=window(30))
    assert [day.whole for day in verdict.daily_breakdown] == [True, False]


counts = st.lists(st.integers(0, 5_000), min_size=3, max_size=3)


@given(counts, counts)
def test_a_day_is_bad_exactly_when_both_limits_are_exceeded(
    ours: list[int], theirs: list[int]
) -> None:
    verdict = judge(buckets(*ours), buckets(*theirs))
    expected = [
        abs(a - b) > 10 and 100 * abs(a - b) > 5 * max(a, b)
        for a, b in zip(ours, theirs, strict=True)
    ]
    assert [day.status == "bad" for day in verdict.daily_breakdown] == expected
    if any(expected):
        assert verdict.status in ("degraded", "failed")
    assert verdict.difference == abs(sum(ours) - sum(theirs))
