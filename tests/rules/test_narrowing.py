"""Where two sides differ, and which spans are looked at next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.narrowing import (
    ROWS_LISTED_MAX,
    SPANS_LISTED_MAX,
    Difference,
    choose_listed,
    chunk_days,
    compare_buckets,
    find_unexplained,
    listing_batches,
    narrow,
)
from roundsman.rules.windows import Bucket, Span, Window

DAY = datetime(2026, 11, 16, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def window(start: datetime = DAY, end: datetime = DAY + timedelta(days=3)) -> Window:
    return Window(start=start, end=end, zone="UTC", settle_minutes=60, ends_by="now")


def bucket(hour: int, count: int, total: int | None = None) -> Bucket:
    return Bucket(DAY + hour * HOUR, count, total)


def test_buckets_differ_by_count_or_by_the_sum_of_fingerprints() -> None:
    search = [bucket(0, 5, 50), bucket(1, 5, 50), bucket(2, 5, 50), bucket(3, 1, 7)]
    warehouse = [bucket(0, 5, 50), bucket(1, 4, 40), bucket(2, 5, 51), bucket(4, 2, 9)]
    assert compare_buckets(search, warehouse) == [
        Difference(DAY + HOUR, 5, 4),
        Difference(DAY + 2 * HOUR, 5, 5, balanced=True),
        Difference(DAY + 3 * HOUR, 1, 0),
        Difference(DAY + 4 * HOUR, 0, 2),
    ]


def test_a_bucket_that_lost_its_fingerprints_on_one_side_differs() -> None:
    differences = [Difference(DAY, 5, 5, balanced=True)]
    assert compare_buckets([bucket(0, 5)], [bucket(0, 5, 1)]) == differences
    assert compare_buckets([bucket(0, 5, 1)], [bucket(0, 5)]) == differences


def test_without_fingerprints_equal_counts_are_equal() -> None:
    # A sum of nothing is none in SQL and zero in Elasticsearch.
    assert compare_buckets([bucket(0, 5)], [bucket(0, 5, 0)]) == []
    assert compare_buckets([bucket(0, 5)], [bucket(0, 5)]) == []


def test_a_differing_bucket_in_which_nothing_was_found_is_unexplained() -> None:
    found = [Difference(DAY + i * HOUR, 5, 5, balanced=i != 2) for i in range(4)]
    inside = [Span(DAY + 30 * MINUTE, DAY + 31 * MINUTE), Span(DAY + 4 * HOUR, DAY + 5 * HOUR)]
    assert find_unexplained(found, "hour", "UTC", inside) == [found[1], found[3]]


def test_a_day_that_begins_within_an_hour_is_explained_by_that_hour() -> None:
    day = Difference(DAY - 330 * MINUTE, 5, 4)
    hour = Span(DAY - 6 * HOUR, DAY - 5 * HOUR)
    assert find_unexplained([day], "day", "Asia/Kolkata", [hour]) == []


counts = st.dictionaries(st.integers(0, 71), st.integers(1, 9))


@given(counts, counts)
def test_narrowing_looks_at_every_differing_hour_and_at_nothing_else(
    ours: dict[int, int], theirs: dict[int, int]
) -> None:
    search = [bucket(hour, count) for hour, count in ours.items()]
    warehouse = [bucket(hour, count) for hour, count in theirs.items()]
    spans, _, left_out = narrow(compare_buckets(search, warehouse), "hour", window(), 1_000)
    seen = {hour for hour in range(72) if any(s.start <= DAY + hour * HOUR < s.end for s in spans)}
    assert seen == {hour for hour in range(72) if ours.get(hour, 0) != theirs.get(hour, 0)}
    assert left_out == []


def test_spans_stay_inside_the_window() -> None:
    cut = window(DAY + 90 * MINUTE, DAY + 150 * MINUTE)
    spans, _, _ = narrow([Difference(DAY, 9, 8)], "day", cut, 10)
    assert spans == [cut.span]


def test_where_not_all_fit_the_smallest_buckets_come_first_and_the_rest_is_counted() -> None:
    found = [Difference(DAY + i * HOUR, 100 - i, 0) for i in range(10)]
    spans, chosen, left_out = narrow(found, "hour", window(), 3)
    assert spans == [Span(DAY + 7 * HOUR, DAY + 10 * HOUR)]
    assert sorted(chosen + left_out) == found
    assert len(left_out) == 7


def test_listing_stops_once_enough_keys_are_certain() -> None:
    found = [Difference(DAY + i * MINUTE, 3, 1) for i in range(10)]
    assert len(choose_listed(found, 5)) == 3
    assert len(choose_listed(found, 1_000)) == 10


def test_a_lost_day_does_not_keep_single_rows_from_being_named() -> None:
    single = Difference(DAY + 5 * HOUR, 1, 0)
    assert choose_listed([Difference(DAY, 2_000, 0), single], 1_000)[0] == single


def test_a_bucket_too_large_to_list_is_left_out() -> None:
    small, huge = Difference(DAY, 5, 4), Difference(DAY + MINUTE, ROWS_LISTED_MAX, 0)
    assert choose_listed([huge, small], 1_000) == [small]


def test_many_minutes_are_listed_in_batches() -> None:
    found = [Difference(DAY + 2 * i * MINUTE, 1, 0) for i in range(SPANS_LISTED_MAX + 1)]
    batches = listing_batches(found, "minute", window())
    assert [len(batch) for batch in batches] == [SPANS_LISTED_MAX, 1]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.integers(1, 80))
def test_chunks_of_days_cover_the_days_in_order_and_stay_small(
    rows: list[int], rows_max: int
) -> None:
    whole = window(DAY + HOUR, DAY + timedelta(days=len(rows)) - HOUR)
    days = [Difference(DAY + timedelta(days=i), count, count) for i, count in enumerate(rows)]
    chunks = chunk_days(days, whole, rows_max)
    assert chunks[0].start == whole.start
    assert chunks[-1].end == whole.end
    assert all(a.end == b.start for a, b in zip(chunks, chunks[1:], strict=False))
    for chunk in chunks:
        inside = [day.search for day in days if chunk.start <= day.start + HOUR < chunk.end]
        assert sum(inside) <= rows_max or len(inside) == 1
