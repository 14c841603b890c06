"""What the embedded search promises beyond the contract: many processes, words, and its file."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks.search import SqliteSearch
from roundsman.errors import Misread, Mistake, Refused, Unready
from roundsman.rules.windows import Bucket, Dataset, Span
from tests.blocks.purses import enforced
from tests.blocks.sides import FIELDS, dataset, document
from tests.permits import granted
from tests.processes import together

DAY = datetime(2026, 5, 4, tzinfo=UTC)
WHOLE = [Span(DAY, DAY + timedelta(days=30))]


@pytest.fixture
def search(tmp_path: Path) -> SqliteSearch:
    """A search whose file does not exist yet."""
    return SqliteSearch(path=tmp_path / "deep" / "search.db")


def _fill(search: SqliteSearch, name: str = "mails", count: int = 10) -> Dataset:
    rows = (document(i, DAY + timedelta(seconds=i)) for i in range(count))
    granted(search.replace, name, FIELDS, rows)
    return dataset(name)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-05-04T10:00:00Z", DAY + timedelta(hours=10)),
        ("2026-05-04T10:00:00.123+02:00", DAY + timedelta(hours=8, milliseconds=123)),
        ("2026-05-04", DAY),
        (int(DAY.timestamp() * 1000), DAY),
        (DAY.replace(tzinfo=None), DAY),
        (DAY.date(), DAY),
        (DAY + timedelta(microseconds=7), DAY + timedelta(microseconds=7)),
        (datetime(1931, 1, 1, 1, tzinfo=UTC), datetime(1931, 1, 1, 1, tzinfo=UTC)),
    ],
    ids=str,
)
def test_times_are_taken_as_elasticsearch_takes_them(
    search: SqliteSearch, value: Any, expected: datetime
) -> None:
    granted(search.replace, "mails", FIELDS, [document(1, None, received_at=value)])

    assert search.newest(dataset("mails")).at == expected
    day = expected.replace(hour=0, minute=0, second=0, microsecond=0)
    hour = expected.replace(minute=0, second=0, microsecond=0)
    span = [Span(day, day + timedelta(days=1))]
    assert search.count_buckets(dataset("mails"), "day", span, "UTC") == [Bucket(day, 1)]
    assert search.count_buckets(dataset("mails"), "hour", span, "UTC") == [Bucket(hour, 1)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("received_at", "yesterday"),
        ("received_at", True),
        ("size", "many"),
        ("size", 2**63),
        ("size", False),
        ("score", "high"),
        ("is_spam", "maybe"),
        ("is_spam", 1),
        ("folder", ["a", "b"]),
        ("folder", {"a": 1}),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused_and_nothing_of_the_batch_stays(
    search: SqliteSearch, field: str, value: Any
) -> None:
    data = _fill(search)
    before = search.path.read_bytes()

    rows = [document(11, DAY), document(12, DAY, **{field: value})]
    with pytest.raises(Refused, match=f"field '{field}' of type"):
        granted(search.append, "mails", rows)

    assert len(search.list_rows(data, WHOLE, 100).rows) == 10
    assert search.path.read_bytes() == before


def test_a_replacement_that_fails_leaves_the_old_index_whole(search: SqliteSearch) -> None:
    data = _fill(search)

    with pytest.raises(Refused):
        granted(search.replace, "mails", FIELDS, [document(1, DAY), document(2, DAY, size="x")])

    assert len(search.list_rows(data, WHOLE, 100).rows) == 10


def test_numbers_and_nested_fields_are_taken_as_elasticsearch_takes_them(
    search: SqliteSearch,
) -> None:
    fields: Any = {"t": "timestamp", "k": "keyword", "user.name": "keyword", "n": "integer"}
    granted(
        search.replace,
        "orders",
        fields,
        [{"t": DAY, "k": 17, "user": {"name": "a"}, "n": "5"}, {"t": DAY, "k": True, "user": 3}],
    )
    data = Dataset(name="orders", time_field="t", key_field="k", fingerprint_field="n")

    assert [row[::2] for row in search.list_rows(data, WHOLE, 9).rows] == [
        ("17", 5),
        ("true", None),
    ]
    mine = data.model_copy(update={"filter": {"user.name": "a", "n": [5]}})
    assert search.count_buckets(mine, "day", WHOLE, "UTC") == [Bucket(DAY, 1, 5)]


def test_names_of_fields_cannot_reach_the_sql(search: SqliteSearch) -> None:
    evil = 'x"; DROP TABLE search_indices; --'
    granted(search.replace, "mails", {"t": "timestamp", evil: "keyword"}, [{"t": DAY, evil: "a"}])
    data = Dataset(name="mails", time_field="t", key_field=evil, filter={evil: evil})

    assert search.list_rows(data, WHOLE, 9).rows == []
    assert search.fields(data) == {"t": "timestamp", evil: "keyword"}


@pytest.mark.parametrize("name", ["", "Mails", "a b", "a*", "_a", "-a", "a/b", "x" * 256, "a,b"])
def test_a_name_that_elasticsearch_would_not_take_is_a_mistake(
    search: SqliteSearch, name: str
) -> None:
    with pytest.raises(Mistake, match="is not the name of one index"):
        granted(search.replace, name, FIELDS, [])
    assert not search.path.exists()


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("mails-1", 1),
        ("mails-*", 3),
        ("*", 4),
        ("mails-1,orders", 2),
        ("mails-*,-mails-2", 2),
        ("m*s-*,orders", 4),
        ("mails-1,mails-1", 1),
    ],
)
def test_patterns_name_indices_as_in_elasticsearch(
    search: SqliteSearch, pattern: str, count: int
) -> None:
    for name in ("mails-1", "mails-2", "mails-3", "orders"):
        _fill(search, name, 1)

    counted = search.count_buckets(dataset(pattern), "day", WHOLE, "UTC")

    assert counted == [Bucket(DAY, count)]


def test_a_pattern_whose_indices_disagree_reads_a_missing_field_as_nothing(
    search: SqliteSearch,
) -> None:
    granted(search.replace, "m-1", {"t": "timestamp", "k": "keyword"}, [{"t": DAY, "k": "a"}])
    granted(search.replace, "m-2", {"other": "keyword"}, [{"other": "b"}])
    data = Dataset(name="m-*", time_field="t", key_field="k")

    assert search.count_buckets(data, "day", WHOLE, "UTC") == [Bucket(DAY, 1)]
    assert search.count_without_time(data) == 1
    assert [row.key for row in search.list_rows(data, WHOLE, 9).rows] == ["a"]
    assert search.fields(data) == {"t": "timestamp", "k": "keyword", "other": "keyword"}
    assert granted(search.remove, data, ["a"]) == 1


def test_documents_are_found_by_every_word_best_first_and_come_back_whole(
    search: SqliteSearch,
) -> None:
    fields: Any = {"t": "timestamp", "subject": "text", "body": "text"}
    first = {"t": DAY, "subject": "Invoice overdue", "body": "please pay", "tags": ["x", "y"]}
    second = {"t": DAY, "subject": "Lunch", "body": "no invoice, an overdue invoice joke"}
    granted(search.replace, "mails", fields, [first, second])

    assert search.find("mails", "pay overdue", 9) == [{**first, "t": DAY.isoformat()}]
    assert len(search.find("mails", "INVOICE", 9)) == 2
    assert len(search.find("mails", "invoice", 1)) == 1
    assert search.find("mails", "", 9) == []
    assert search.find("mails", '") OR subject:* NEAR', 9) == []
    granted(search.append, "mails", [{"t": DAY, "subject": "Überweisung"}])
    assert len(search.find("mails", "uberweisung", 9)) == 1


def test_words_of_removed_documents_are_forgotten(search: SqliteSearch) -> None:
    data = _fill(search)
    assert len(search.find("mails", "invoice 3", 9)) == 1

    assert granted(search.remove, data, ["m000003"]) == 1

    assert search.find("mails", "invoice 3", 9) == []
    granted(search.replace, "mails", FIELDS, [document(3, DAY)])
    assert len(search.find("mails", "invoice 3", 9)) == 1


def test_finding_without_a_text_field_is_refused(search: SqliteSearch) -> None:
    granted(search.replace, "plain", {"t": "timestamp"}, [{"t": DAY}])

    with pytest.raises(Refused, match="no text field"):
        search.find("plain", "word", 9)


def test_a_missing_file_is_refused_and_not_made(search: SqliteSearch) -> None:
    for read in (lambda: search.newest(dataset("mails")), search.probe):
        with pytest.raises(Refused, match=r"does not exist; .*import"):
            read()
    assert not search.path.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"this is no database at all" * 200, Misread), (b"", Refused)],
    ids=["garbage", "empty"],
)
def test_a_file_of_something_else_is_never_a_number(
    search: SqliteSearch, content: bytes, expected: type[Exception]
) -> None:
    search.path.parent.mkdir(parents=True)
    search.path.write_bytes(content)

    with pytest.raises(expected, match=str(search.path)):
        search.newest(dataset("mails"))
    assert search.path.read_bytes() == content


def test_somebody_elses_database_is_refused(search: SqliteSearch) -> None:
    search.path.parent.mkdir(parents=True)
    with sqlite3.connect(search.path) as other:
        other.execute("CREATE TABLE t (a)")
    other.close()

    with pytest.raises(Refused, match="holds no search indices"):
        search.newest(dataset("mails"))


def test_a_damaged_file_is_misread(search: SqliteSearch) -> None:
    data = _fill(search, count=2000)
    size = search.path.stat().st_size
    with search.path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(size - 8192))

    with pytest.raises(Misread, match="restore the file"):
        search.list_rows(data, WHOLE, 10_000)


def test_a_read_only_folder_can_still_be_read(search: SqliteSearch, tmp_path: Path) -> None:
    data = _fill(search)
    copy = tmp_path / "frozen"
    copy.mkdir()
    shutil.copy(search.path, copy / "search.db")
    (copy / "search.db").chmod(stat.S_IRUSR)
    copy.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        frozen = SqliteSearch(path=copy / "search.db")
        assert len(frozen.list_rows(data, WHOLE, 100).rows) == 10
    finally:
        copy.chmod(0o700)


def test_a_writer_that_holds_the_file_makes_others_unready_but_lets_them_read(
    search: SqliteSearch,
) -> None:
    data = _fill(search)
    holder = sqlite3.connect(search.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert len(search.list_rows(data, WHOLE, 100).rows) == 10
        with enforced(ms=400), pytest.raises(Unready, match="locked"):
            granted(search.append, "mails", [document(11, DAY)])
    finally:
        holder.close()
    assert granted(search.append, "mails", [document(11, DAY)]) == 1


def test_a_read_ends_when_its_time_is_over(search: SqliteSearch) -> None:
    _fill(search, count=30_000)
    pair = dataset("mails")

    with enforced(ms=2), pytest.raises(Unready, match="interrupted"):
        search.count_duplicate_keys(pair, WHOLE[0])


def _append(path: Path, first: int) -> None:
    search = SqliteSearch(path=path)
    for number in range(first, first + 20):
        granted(search.append, "mails", [document(number, DAY)])
        search.newest(dataset("mails"))


def test_several_processes_write_and_read_at_once_and_nothing_is_lost(
    search: SqliteSearch,
) -> None:
    data = _fill(search, count=1)
    codes = together(_append, [(search.path, 1000 * i) for i in range(1, 4)])

    assert codes == [0, 0, 0]
    assert len(search.list_rows(data, WHOLE, 1000).rows) == 61
    assert len(search.find("mails", "invoice", 1000)) == 61


def test_documents_keep_what_is_not_mapped(search: SqliteSearch) -> None:
    granted(search.replace, "mails", {"s": "text"}, [{"s": "hello", "more": {"a": [1, None]}}])

    assert search.find("mails", "hello", 1) == [{"s": "hello", "more": {"a": [1, None]}}]
    assert json.dumps(search.find("mails", "hello", 1))
