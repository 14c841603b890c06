"""Whatever stands in a filter, a name or a partition's id is data and never part of the text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.warehouse import DuckdbWarehouse
from blocks.warehouse.partitions import newest_start, partition_span, rows_within
from blocks.warehouse.queries import SPANS_MAX, as_clock, count_buckets
from blocks.warehouse.sql import require_select
from blocks.warehouse.tables import Column, PartitionUnit, Table, TableName, parse_table_name
from roundsman.errors import Mistake, Refused
from roundsman.rules.windows import Dataset, Span
from tests.permits import granted

DAY = datetime(2026, 5, 4, tzinfo=UTC)
WHOLE = [Span(DAY, DAY + timedelta(days=1))]
QUOTES = ["it's", 'say "x"', "back`tick", "back\\slash", "\\'"]
WORDS = ["plain", *QUOTES, "a; DROP TABLE shop.odd", "é%_?@x", ""]


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> DuckdbWarehouse:
    warehouse = DuckdbWarehouse(path=tmp_path_factory.mktemp("odd") / "warehouse.duckdb")
    rows = [{"id": word, "at": DAY, "back`tick": word} for word in WORDS]
    granted(
        warehouse.replace,
        "shop.odd",
        {"id": "keyword", "at": "timestamp", "back`tick": "keyword"},
        rows,
    )
    return warehouse


def odd(**changes: object) -> Dataset:
    base = {"name": "shop.odd", "time_field": "at", "key_field": "id"}
    return Dataset.model_validate(base | changes)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("field", ["id", "back`tick"])
def test_a_filter_finds_exactly_what_equals_it(
    twin: DuckdbWarehouse, field: str, word: str
) -> None:
    rows = twin.list_rows(odd(filter={field: word}), WHOLE, 10).rows
    assert [row.key for row in rows] == [word]
    assert twin.list_rows(odd(key_field="back`tick"), WHOLE, 100).rows


@given(st.text(max_size=40).filter(lambda text: "\x00" not in text and text not in WORDS))
@settings(max_examples=25, deadline=None)
def test_no_other_text_finds_anything(twin: DuckdbWarehouse, word: str) -> None:
    if not any(0xD800 <= ord(letter) < 0xE000 for letter in word):
        assert twin.list_rows(odd(filter={"id": word}), WHOLE, 10).rows == []


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=60, unique=True))
@settings(max_examples=50, deadline=None)
def test_every_text_that_we_write_is_one_select(minutes: list[int]) -> None:
    columns = {"at": Column("timestamp", "TIMESTAMP"), "id": Column("keyword")}
    table = Table(TableName(None, "shop", "odd"), columns)
    spans = [
        Span(DAY + timedelta(minutes=2 * m), DAY + timedelta(minutes=2 * m + 1)) for m in minutes
    ]
    query = count_buckets(odd(), table, "minute", spans, "UTC")
    require_select(query.text)
    starts = {value for name, value in query.values.items() if name.startswith(("start", "since"))}
    assert starts == {span.start for span in spans}


def test_more_spans_than_one_query_can_hold_are_refused(twin: DuckdbWarehouse) -> None:
    spans = [
        Span(DAY + timedelta(minutes=2 * m), DAY + timedelta(minutes=2 * m + 1))
        for m in range(SPANS_MAX + 1)
    ]
    with pytest.raises(Refused, match=f"at most {SPANS_MAX}"):
        twin.count_buckets(odd(), "minute", spans, "UTC")


@pytest.mark.parametrize(
    ("filter_", "said"),
    [
        ({"at": "yesterday"}, "no time"),
        ({"id": 5}, "cannot be compared"),
        ({"id": True}, "cannot be compared"),
        ({"nothing": "x"}, "no column"),
    ],
)
def test_what_bigquery_would_refuse_the_twin_does_not_cast(
    twin: DuckdbWarehouse, filter_: dict[str, object], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        twin.list_rows(odd(filter=filter_), WHOLE, 10)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("shop.orders", (None, "shop", "orders")),
        ("acme-prod.shop.orders", ("acme-prod", "shop", "orders")),
        ("example.com:acme.shop.orders", ("example.com:acme", "shop", "orders")),
        ("shop.daily orders-2", (None, "shop", "daily orders-2")),
    ],
)
def test_names_are_taken_apart(name: str, parts: tuple[str | None, str, str]) -> None:
    assert parse_table_name(name) == parts


@pytest.mark.parametrize("name", ["shop.orders$20260504", "x", "a.b; DROP", "`a.b`", "a.b\n"])
def test_what_is_no_name_is_a_mistake(name: str) -> None:
    with pytest.raises(Mistake):
        parse_table_name(name)


def test_a_wildcard_is_refused() -> None:
    with pytest.raises(Refused, match="one table"):
        parse_table_name("shop.orders_*")


@pytest.mark.parametrize(
    ("unit", "name", "start", "hours"),
    [
        ("HOUR", "2026050407", DAY + timedelta(hours=7), 1),
        ("DAY", "20260504", DAY, 24),
        ("MONTH", "202605", datetime(2026, 5, 1, tzinfo=UTC), 31 * 24),
        ("MONTH", "202612", datetime(2026, 12, 1, tzinfo=UTC), 31 * 24),
        ("YEAR", "2024", datetime(2024, 1, 1, tzinfo=UTC), 366 * 24),
    ],
)
def test_a_partitions_id_is_a_stretch_of_time(
    unit: PartitionUnit, name: str, start: datetime, hours: int
) -> None:
    assert partition_span(name, unit) == Span(start, start + timedelta(hours=hours))


@pytest.mark.parametrize("name", ["__NULL__", "__UNPARTITIONED__", "", "2026"])
def test_special_partitions_are_no_stretch_of_time(name: str) -> None:
    assert partition_span(name, "DAY") is None


def test_rows_that_are_not_sorted_in_yet_may_be_of_any_time() -> None:
    pieces = [("20260504", 5), ("20260505", 7), ("__NULL__", 3), ("__UNPARTITIONED__", 2)]
    assert rows_within(pieces, "DAY", WHOLE) == 5 + 2
    assert rows_within(pieces, "DAY", []) == 2
    assert newest_start(pieces, "DAY", DAY + timedelta(days=1)) == DAY


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (DAY, date(2026, 5, 4)),
        (DAY + timedelta(microseconds=1), date(2026, 5, 5)),
        (datetime.fromisoformat("2026-05-04T01:00:00+02:00"), date(2026, 5, 4)),
    ],
)
def test_a_date_is_inside_a_span_when_its_midnight_is(moment: datetime, day: date) -> None:
    assert as_clock(moment, "DATE") == day


def test_the_twins_file_is_found_where_it_says(tmp_path: Path) -> None:
    nested = DuckdbWarehouse(path=tmp_path / "made" / "on" / "the" / "way.duckdb")
    assert granted(nested.replace, "shop.orders", {"id": "keyword"}, [{"id": "a"}]) == 1
    assert nested.path.is_file()
