"""One contract, four implementations: what each refuses, and who may write what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from blocks.dataset import DatasetBlock
from roundsman.errors import Denied, Refused
from roundsman.rules.windows import Dataset
from tests.blocks.sides import (
    FIELDS,
    MARCH,
    REAL,
    SEARCHES,
    WHOLE,
    Document,
    Side,
    document,
    with_,
)
from tests.permits import granted

READS: dict[str, Callable[[DatasetBlock, Dataset], object]] = {
    "count_buckets": lambda block, data: block.count_buckets(data, "day", [WHOLE], "UTC"),
    "list_rows": lambda block, data: block.list_rows(data, [WHOLE], 10),
    "newest": lambda block, data: block.newest(data),
    "count_without_time": lambda block, data: block.count_without_time(data),
}


@pytest.mark.parametrize("read", READS)
def test_a_dataset_that_does_not_exist_is_refused_by_name(
    side: Side, days: tuple[Dataset, list[Document]], read: str
) -> None:
    missing = with_(days[0], name=side.name_for("missing"))

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

    assert granted(side.block.append, data.name, [document(i, MARCH) for i in range(10, 15)]) == 5
    assert granted(side.block.remove, data, ["m000003", "m000014", "m999999"]) == 2
    kept = [row.key for row in side.block.list_rows(data, [WHOLE], 100).rows]
    assert kept == [f"m{i:06d}" for i in range(15) if i not in {3, 14}]
    assert (
        granted(side.block.remove, with_(data, filter={"folder": "inbox"}), ["m000000", "m000001"])
        == 1
    )
    assert granted(side.block.remove, data, []) == 0

    assert granted(side.block.replace, data.name, FIELDS, [document(77, MARCH)]) == 1
    assert [row.key for row in side.block.list_rows(data, [WHOLE], 9).rows] == ["m000077"]


def test_appending_to_nothing_is_refused(side: Side) -> None:
    name = side.name_for("nowhere")

    with pytest.raises(Refused, match=name):
        granted(side.block.append, name, [document(1, MARCH)])


def test_a_value_that_does_not_fit_its_field_is_refused_and_names_it(side: Side) -> None:
    data = side.make("fits", [document(1, MARCH)])

    with pytest.raises(Refused, match="size"):
        granted(side.block.append, data.name, [document(2, MARCH, size="many")])


@pytest.mark.parametrize("side", REAL, indirect=True)
def test_a_system_that_is_no_sandbox_is_never_written_to(side: Side) -> None:
    data = side.make("closed", [document(1, MARCH)])
    block = side.block.model_copy(update={"sandbox": False})
    before = side.snapshot()

    for write in (
        lambda: granted(block.replace, data.name, FIELDS, []),
        lambda: granted(block.append, data.name, [document(2, MARCH)]),
        lambda: granted(block.remove, data, ["m000001"]),
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


@pytest.mark.parametrize("side", SEARCHES, indirect=True)
def test_a_pattern_reads_every_index_that_it_names(side: Side) -> None:
    first = side.make("pattern_one", [document(i, MARCH) for i in range(5)])
    second = side.make("pattern_two", [document(i, MARCH) for i in range(5, 8)])
    stem = first.name.rsplit("_", 1)[0].removesuffix("_one")
    listed = with_(first, name=f"{first.name},{second.name}")

    for data in (with_(first, name=f"{stem}_*"), listed):
        counted = side.block.count_buckets(data, "day", [WHOLE], "UTC")
        assert sum(bucket.count for bucket in counted) >= 8
        assert len(side.block.list_rows(data, [WHOLE], 7).rows) == 7


@pytest.mark.parametrize("side", SEARCHES, indirect=True)
@pytest.mark.parametrize("read", [*READS, "fields", "estimate"])
@pytest.mark.parametrize("beside_an_index", [False, True])
def test_a_wildcard_without_an_index_is_an_error_and_never_a_zero(
    side: Side, days: tuple[Dataset, list[Document]], read: str, beside_an_index: bool
) -> None:
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
