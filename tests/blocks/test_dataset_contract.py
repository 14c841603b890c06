"""One contract, four implementations: whatever a comparison asks, each answers alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from blocks.dataset import DatasetBlock
from roundsman.errors import Denied, Refused
from roundsman.rules.windows import Bucket, Dataset, Level, Newest, Span
from tests.blocks.sides import (
    FIELDS,
    Document,
    Side,
    document,
    every,
    expected_buckets,
    expected_rows,
    with_,
)

# Around these the clocks change: forward, back, at midnight, by half an hour.
CHANGES = {
    "Europe/Berlin": (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)),
    "America/New_York": (datetime(2026, 3, 7, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)),
    "Africa/Cairo": (datetime(2026, 4, 23, tzinfo=UTC), datetime(2026, 10, 29, tzinfo=UTC)),
    "America/Havana": (datetime(2026, 3, 7, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 3, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC)),
}
MARCH = datetime(2026, 3, 28, tzinfo=UTC)
WHOLE = Span(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def _year() -> list[Document]:
    starts = sorted({start for pair in CHANGES.values() for start in pair})
    return [
        row
        for number, start in enumerate(starts)
        for row in every(20, start, hours=96, first=number * 1000)
    ]


YEAR = _year()


@pytest.fixture(scope="module")
def year(side: Side) -> Dataset:
    """Four days around every change of clocks, a row each 20 minutes."""
    return side.make("year", YEAR)


@pytest.fixture(scope="module")
def days(side: Side) -> tuple[Dataset, list[Document]]:
    """Three days, a row each 3.7 minutes, some without a time."""
    rows = every(3.7, MARCH, hours=72)
    rows += [document(9000 + i, None) for i in range(4)]
    return side.make("days", rows), rows


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
    ids=str,
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


READS: dict[str, Callable[[DatasetBlock, Dataset], object]] = {
    "count_buckets": lambda block, data: block.count_buckets(data, "day", [WHOLE], "UTC"),
    "list_rows": lambda block, data: block.list_rows(data, [WHOLE], 10),
    "newest": lambda block, data: block.newest(data),
    "count_without_time": lambda block, data: block.count_without_time(data),
}


@pytest.mark.parametrize("read", READS)
def test_a_dataset_that_does_not_exist_is_refused_by_name(side: Side, read: str) -> None:
    missing = with_(Dataset(name="x", time_field="t", key_field="k"), name=side.name_for("missing"))

    with pytest.raises(Refused) as refused:
        READS[read](side.block, missing)

    assert missing.name in refused.value.said
    assert refused.value.remedy


MISSING: list[dict[str, Any]] = [
    {"time_field": "no_such_time"},
    {"filter": {"no_such_field": 1}},
    {"key_field": "no_such_key"},
    {"fingerprint_field": "no_such_hash"},
]
TOUCHED = [
    *((read, change) for read in READS for change in MISSING[:2]),
    *(("list_rows", change) for change in MISSING[2:]),
    ("count_buckets", MISSING[3]),
]


@pytest.mark.parametrize(("read", "change"), TOUCHED, ids=str)
def test_a_field_that_does_not_exist_is_refused_by_name_and_never_a_zero(
    side: Side, days: tuple[Dataset, list[Document]], read: str, change: dict[str, Any]
) -> None:
    data, _ = days

    with pytest.raises(Refused, match="no_such_"):
        READS[read](side.block, with_(data, **change))


def test_a_time_field_that_holds_no_times_is_refused(
    side: Side, days: tuple[Dataset, list[Document]]
) -> None:
    data, _ = days

    with pytest.raises(Refused, match="folder"):
        side.block.count_buckets(with_(data, time_field="folder"), "day", [WHOLE], "UTC")


def test_rows_are_replaced_appended_and_removed(side: Side) -> None:
    data = side.make("life", [document(i, MARCH) for i in range(10)])

    assert side.block.append(data.name, [document(i, MARCH) for i in range(10, 15)]) == 5
    assert side.block.remove(data, ["m000003", "m000014", "m999999"]) == 2
    kept = [row.key for row in side.block.list_rows(data, [WHOLE], 100).rows]
    assert kept == [f"m{i:06d}" for i in range(15) if i not in {3, 14}]
    assert side.block.remove(with_(data, filter={"folder": "inbox"}), ["m000000", "m000001"]) == 1
    assert side.block.remove(data, []) == 0

    assert side.block.replace(data.name, FIELDS, [document(77, MARCH)]) == 1
    assert [row.key for row in side.block.list_rows(data, [WHOLE], 9).rows] == ["m000077"]


def test_appending_to_nothing_is_refused(side: Side) -> None:
    name = side.name_for("nowhere")

    with pytest.raises(Refused, match=name):
        side.block.append(name, [document(1, MARCH)])


def test_a_value_that_does_not_fit_its_field_is_refused_and_names_it(side: Side) -> None:
    data = side.make("fits", [document(1, MARCH)])

    with pytest.raises(Refused, match="size"):
        side.block.append(data.name, [document(2, MARCH, size="many")])


def test_a_system_that_is_no_sandbox_is_never_written_to(side: Side) -> None:
    data = side.make("closed", [document(1, MARCH)])
    block = side.block.model_copy(update={"sandbox": False})
    if block.twin:
        pytest.skip("a twin is there to be written to")
    before = side.snapshot()

    for write in (
        lambda: block.replace(data.name, FIELDS, []),
        lambda: block.append(data.name, [document(2, MARCH)]),
        lambda: block.remove(data, ["m000001"]),
    ):
        with pytest.raises(Denied, match="sandbox"):
            write()

    assert side.snapshot() == before
    assert len(side.block.list_rows(data, [WHOLE], 10).rows) == 1


@pytest.mark.covers("A-016")
def test_nothing_is_written_by_any_read(side: Side, days: tuple[Dataset, list[Document]]) -> None:
    data, _ = days
    data = with_(data, fingerprint_field="row_hash", filter={"folder": ["inbox", "junk"]})
    before = side.snapshot()

    for read in READS.values():
        read(side.block, data)
    side.block.count_duplicate_keys(data, WHOLE)
    side.block.fields(data)
    side.block.estimate(data, [WHOLE])
    side.block.probe()

    assert side.snapshot() == before


def test_a_pattern_reads_every_index_that_it_names(side: Side) -> None:
    if not side.is_search:
        pytest.skip("only indices have patterns")
    first = side.make("pattern_one", [document(i, MARCH) for i in range(5)])
    second = side.make("pattern_two", [document(i, MARCH) for i in range(5, 8)])
    stem = first.name.rsplit("_", 1)[0].removesuffix("_one")
    listed = with_(first, name=f"{first.name},{second.name}")

    for data in (with_(first, name=f"{stem}_*"), listed):
        counted = side.block.count_buckets(data, "day", [WHOLE], "UTC")
        assert sum(bucket.count for bucket in counted) >= 8
        assert len(side.block.list_rows(data, [WHOLE], 7).rows) == 7


@pytest.mark.parametrize("read", [*READS, "fields", "estimate"])
@pytest.mark.parametrize("beside_an_index", [False, True])
def test_a_wildcard_without_an_index_is_an_error_and_never_a_zero(
    side: Side, days: tuple[Dataset, list[Document]], read: str, beside_an_index: bool
) -> None:
    if not side.is_search:
        pytest.skip("only indices have patterns")
    data, _ = days
    pattern = f"{side.name_for('void')}-*"
    data = with_(data, name=f"{data.name},{pattern}" if beside_an_index else pattern)
    reads = {
        **READS,
        "fields": lambda block, data: block.fields(data),
        "estimate": lambda block, data: block.estimate(data, [WHOLE]),
    }

    with pytest.raises(Refused, match="void"):
        reads[read](side.block, data)
