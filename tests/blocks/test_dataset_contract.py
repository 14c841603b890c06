"""One contract, four implementations: whatever a comparison asks, each answers alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roundsman.errors import Refused
from roundsman.rules.windows import Bucket, Dataset, Level, Newest, Span
from tests.blocks.sides import (
    CHANGES,
    FIELDS,
    MARCH,
    WHOLE,
    YEAR,
    Document,
    Side,
    document,
    expected_buckets,
    expected_rows,
    with_,
)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Kathmandu", *CHANGES])
def test_days_are_calendar_days_of_the_zone_also_when_clocks_change(
    side: Side, year: Dataset, zone: str
) -> None:
    counted = side.block.count_buckets(year, "day", [WHOLE], zone)

    assert counted == expected_buckets(YEAR, [WHOLE], "day", zone)


@pytest.mark.parametrize("level", ["day", "hour", "minute"])
def test_buckets_are_named_by_their_own_beginning_and_count_only_what_the_spans_hold(
    side: Side, days: tuple[Dataset, list[Document]], level: Level
) -> None:
    data, rows = days
    spans = [
        Span(MARCH + timedelta(hours=5, minutes=7), MARCH + timedelta(hours=9, seconds=30)),
        Span(MARCH + timedelta(hours=22, minutes=30), MARCH + timedelta(hours=30, minutes=1)),
    ]

    counted = side.block.count_buckets(data, level, spans, "Asia/Kolkata")

    assert counted == expected_buckets(rows, spans, level, "Asia/Kolkata")


def test_hours_and_minutes_are_those_of_utc_in_every_zone(
    side: Side, days: tuple[Dataset, list[Document]]
) -> None:
    data, _ = days
    span = Span(MARCH, MARCH + timedelta(hours=6))

    for level in ("hour", "minute"):
        in_utc = side.block.count_buckets(data, level, [span], "UTC")
        assert side.block.count_buckets(data, level, [span], "Asia/Kathmandu") == in_utc


def test_a_row_counts_once_when_spans_overlap_touch_or_are_empty(
    side: Side, days: tuple[Dataset, list[Document]]
) -> None:
    data, rows = days
    first = Span(MARCH, MARCH + timedelta(hours=3))
    spans = [
        Span(MARCH + timedelta(hours=2), MARCH + timedelta(hours=4)),
        first,
        first,
        Span(MARCH + timedelta(hours=4), MARCH + timedelta(hours=5)),
        Span(MARCH + timedelta(hours=9), MARCH + timedelta(hours=9)),
    ]

    counted = side.block.count_buckets(data, "hour", spans, "UTC")

    assert counted == expected_buckets(rows, spans, "hour", "UTC")
    assert len(side.block.list_rows(data, spans, 1000).rows) == sum(b.count for b in counted)


def test_a_span_begins_with_its_start_and_ends_before_its_end(side: Side) -> None:
    edges = [MARCH, MARCH + timedelta(hours=1), MARCH + timedelta(hours=1, milliseconds=-1)]
    data = side.make("edges", [document(i, at) for i, at in enumerate(edges)])

    counted = side.block.count_buckets(
        data, "hour", [Span(MARCH, MARCH + timedelta(hours=1))], "UTC"
    )

    assert counted == [Bucket(MARCH, 2)]


def test_no_spans_and_spans_without_rows_give_no_buckets(
    side: Side, days: tuple[Dataset, list[Document]]
) -> None:
    data, _ = days
    nowhere = Span(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC))

    for level in ("day", "hour", "minute"):
        assert side.block.count_buckets(data, level, [], "UTC") == []
        assert side.block.count_buckets(data, level, [nowhere], "UTC") == []
    assert side.block.list_rows(data, [], 10) == ([], False)


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({"folder": "inbox"}, lambda row: row["folder"] == "inbox"),
        ({"folder": ["inbox", "junk"]}, lambda row: row["folder"] in {"inbox", "junk"}),
        ({"folder": []}, lambda row: False),
        ({"folder": "nothing is called so"}, lambda row: False),
        ({"size": 3}, lambda row: row["size"] == 3),
        ({"size": [0, 1, 6]}, lambda row: row["size"] in {0, 1, 6}),
        ({"score": 0.25}, lambda row: row["score"] == 0.25),
        ({"is_spam": True}, lambda row: row["is_spam"]),
        ({"is_spam": False, "folder": "inbox"}, lambda row: row["folder"] == "inbox"),
        ({"folder": "a' OR 1=1 --"}, lambda row: False),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_filter_is_equality_or_membership_and_all_of_it_must_hold(
    side: Side,
    days: tuple[Dataset, list[Document]],
    wanted: dict[str, Any],
    passes: Callable[[Document], bool],
) -> None:
    data, rows = days
    filtered = with_(data, filter=wanted)
    kept = [row for row in rows if passes(row)]

    counted = side.block.count_buckets(filtered, "day", [WHOLE], "UTC")
    listed = side.block.list_rows(filtered, [WHOLE], 5000)

    assert counted == expected_buckets(kept, [WHOLE], "day", "UTC")
    assert [row.key for row in listed.rows] == [r.key for r in expected_rows(kept, [WHOLE])]
    without = [row for row in kept if row["received_at"] is None]
    assert side.block.count_without_time(filtered) == len(without)


def test_rows_come_by_time_then_key_with_their_fingerprints(side: Side) -> None:
    rows = [document(i, MARCH + timedelta(seconds=i // 5)) for i in range(50)]
    data = with_(side.make("ties", reversed(rows)), fingerprint_field="row_hash")

    listed = side.block.list_rows(data, [WHOLE], 50)

    assert listed.rows == expected_rows(rows, [WHOLE])
    assert not listed.cut


@pytest.mark.parametrize(("limit", "cut"), [(1, True), (49, True), (50, False), (51, False)])
def test_a_list_says_when_it_was_cut(side: Side, limit: int, cut: bool) -> None:
    rows = [document(i, MARCH + timedelta(seconds=i)) for i in range(50)]
    data = side.make("cut", rows)

    listed = side.block.list_rows(data, [WHOLE], limit)

    assert [row.key for row in listed.rows] == [f"m{i:06d}" for i in range(min(limit, 50))]
    assert listed.cut is cut


def test_a_list_longer_than_a_page_is_whole_and_in_order(side: Side) -> None:
    rows = [document(i, MARCH + timedelta(seconds=i // 7)) for i in range(12_000)]
    data = side.make("long", rows)

    listed = side.block.list_rows(data, [WHOLE], 11_500)

    assert [row.key for row in listed.rows] == [f"m{i:06d}" for i in range(11_500)]
    assert listed.cut


def test_a_row_without_key_or_fingerprint_is_listed_and_adds_nothing(side: Side) -> None:
    rows = [
        document(1, MARCH, row_hash=None),
        document(2, MARCH, message_id=None, row_hash=5),
        document(3, MARCH + timedelta(hours=1), row_hash=None),
    ]
    data = with_(side.make("gaps", rows), fingerprint_field="row_hash")

    listed = side.block.list_rows(data, [WHOLE], 10).rows
    counted = side.block.count_buckets(data, "hour", [WHOLE], "UTC")

    assert [(row.key, row.fingerprint) for row in listed] == [
        ("", 5),
        ("m000001", None),
        ("m000003", None),
    ]
    assert counted == [Bucket(MARCH, 2, 5), Bucket(MARCH + timedelta(hours=1), 1, 0)]


def test_newest_is_the_latest_time_or_the_latest_before_a_moment(
    side: Side, days: tuple[Dataset, list[Document]]
) -> None:
    data, rows = days
    times = sorted(row["received_at"] for row in rows if row["received_at"])

    assert side.block.newest(data).at == times[-1]
    assert side.block.newest(data, until=times[100]).at == times[99]
    assert side.block.newest(data, until=times[0]).at is None
    only = with_(data, filter={"folder": "junk"})
    junk = [row["received_at"] for row in rows if row["folder"] == "junk" and row["received_at"]]
    assert side.block.newest(only).at == max(junk)


def test_an_empty_dataset_has_no_newest_row_and_no_buckets(side: Side) -> None:
    data = side.make("empty", [])

    assert side.block.newest(data).at is None
    assert side.block.count_buckets(data, "day", [WHOLE], "UTC") == []
    assert side.block.list_rows(data, [WHOLE], 10) == ([], False)
    assert side.block.count_without_time(data) == 0
    assert isinstance(side.block.newest(data), Newest)


def test_rows_without_a_time_are_counted_apart(
    side: Side, days: tuple[Dataset, list[Document]]
) -> None:
    data, rows = days

    assert side.block.count_without_time(data) == 4
    counted = side.block.count_buckets(data, "day", [WHOLE], "UTC")
    assert sum(bucket.count for bucket in counted) == len(rows) - 4


@pytest.mark.parametrize("level", ["day", "hour", "minute"])
def test_fingerprint_sums_are_exact(
    side: Side, days: tuple[Dataset, list[Document]], level: Level
) -> None:
    data, rows = days
    spans = [Span(MARCH, MARCH + timedelta(hours=30))]

    counted = side.block.count_buckets(
        with_(data, fingerprint_field="row_hash"), level, spans, "Europe/Berlin"
    )

    assert counted == expected_buckets(rows, spans, level, "Europe/Berlin", summed=True)


@pytest.mark.parametrize(
    ("fingerprints", "expected"),
    [
        ([2**53 - 1], 2**53 - 1),
        ([2**52, 2**52 - 1], 2**53 - 1),
        ([-5, 3], -2),
        ([2**53], None),
        ([2**52, 2**52], None),
        ([2**62, 2**62, 2**62], None),
        ([-(2**53)], None),
    ],
    ids=str,
)
def test_a_sum_that_could_be_rounded_is_refused(
    side: Side, fingerprints: list[int], expected: int | None
) -> None:
    rows = [document(i, MARCH, row_hash=value) for i, value in enumerate(fingerprints)]
    data = with_(side.make("sums", rows), fingerprint_field="row_hash")

    if expected is None:
        with pytest.raises(Refused, match=r"row_hash.*2\*\*53 or more; store a smaller"):
            side.block.count_buckets(data, "day", [WHOLE], "UTC")
    else:
        counted = side.block.count_buckets(data, "day", [WHOLE], "UTC")
        assert counted == [Bucket(MARCH, len(rows), expected)]


def test_duplicate_keys_are_counted_exactly_or_not_at_all(side: Side) -> None:
    keys = ["a", "a", "a", "b", "c", "c", None, None]
    rows = [document(i, MARCH, message_id=key) for i, key in enumerate(keys)]
    rows.append(document(99, MARCH + timedelta(days=3), message_id="b"))
    data = side.make("twice", rows)

    counted = side.block.count_duplicate_keys(data, Span(MARCH, MARCH + timedelta(days=1)))

    assert counted == (None if side.name == "elasticsearch" else 3)


def test_fields_have_our_names_for_their_types(side: Side) -> None:
    data = side.make("types", [document(1, MARCH)])

    types = side.block.fields(data)

    # A warehouse knows one type of string.
    expected = FIELDS if side.is_search else {**FIELDS, "subject": "keyword"}
    assert {name: "keyword" if not side.is_search and kind == "text" else kind
            for name, kind in types.items()} == expected  # fmt: skip


def test_an_estimate_asks_for_no_operation_and_never_less_than_the_truth(
    side: Side, days: tuple[Dataset, list[Document]]
) -> None:
    data, rows = days
    spans = [Span(MARCH, MARCH + timedelta(hours=12))]

    estimate = side.block.estimate(data, spans)

    if estimate.rows is not None:
        assert estimate.rows >= len(expected_rows(rows, spans))


def test_a_probe_says_what_answered(side: Side, days: tuple[Dataset, list[Document]]) -> None:
    probe = side.block.probe()

    assert probe.reachable
    assert probe.version
