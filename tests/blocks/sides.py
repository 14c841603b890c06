"""The four implementations of one contract, and what the contract's tests need of each."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from blocks.dataset import DatasetBlock
from roundsman.rules.windows import Bucket, Dataset, FieldType, Level, Row, Span
from tests.permits import granted

Document = dict[str, Any]

TWINS = ("sqlite", "duckdb")
REAL = (
    pytest.param("elasticsearch", marks=pytest.mark.needs("elasticsearch")),
    pytest.param("bigquery", marks=pytest.mark.needs("bigquery")),
)
# Only indices have patterns.
SEARCHES = (TWINS[0], REAL[0])

FIELDS: dict[str, FieldType] = {
    "received_at": "timestamp",
    "message_id": "keyword",
    "row_hash": "integer",
    "folder": "keyword",
    "size": "integer",
    "score": "number",
    "is_spam": "boolean",
    "subject": "text",
}


@dataclass
class Side:
    """One implementation, with room for the datasets of a test."""

    name: str
    block: DatasetBlock
    look: Callable[[list[str]], object]
    made: list[str] = field(default_factory=list)

    def snapshot(self) -> object:
        """All that a write to one of our datasets would change."""
        return self.look(self.made)

    @property
    def is_search(self) -> bool:
        """Whether names may be patterns."""
        return self.name in {"sqlite", "elasticsearch"}

    def name_for(self, word: str) -> str:
        """The name of a dataset that nobody else uses."""
        unique = f"{word}_{uuid.uuid4().hex[:8]}"
        return f"contract-{unique}" if self.is_search else f"contract.{unique}"

    def make(
        self, word: str, rows: Iterable[Document], fields: dict[str, FieldType] | None = None
    ) -> Dataset:
        """A dataset of these rows."""
        name = self.name_for(word)
        granted(self.block.replace, name, fields or FIELDS, rows)
        self.made.append(name)
        return dataset(name)


def dataset(name: str, **changes: Any) -> Dataset:
    """The dataset of that name with the contract's usual fields."""
    return Dataset(name=name, time_field="received_at", key_field="message_id", **changes)


def with_(data: Dataset, **changes: Any) -> Dataset:
    """The same dataset but for some of its fields."""
    return Dataset.model_validate({**data.model_dump(), **changes})


def document(number: int, at: datetime | None, **changes: Any) -> Document:
    """A document whose fields all follow from its number."""
    return {
        "received_at": at,
        "message_id": f"m{number:06d}",
        "row_hash": (number * 2_654_435_761) % 2**32,
        "folder": ("inbox", "archive", "junk")[number % 3],
        "size": number % 7,
        "score": number % 5 / 4,
        "is_spam": number % 3 == 2,
        "subject": f"Invoice {number} of order {number % 10}",
        **changes,
    }


def expected_buckets(
    rows: Iterable[Document], spans: Iterable[Span], level: Level, zone: str, summed: bool = False
) -> list[Bucket]:
    """What any implementation must count, worked out row by row."""
    spans = list(spans)
    counts: dict[datetime, tuple[int, int]] = {}
    for row in rows:
        at = row["received_at"]
        if at is None or not any(span.start <= at < span.end for span in spans):
            continue
        start = _bucket_start(at, level, zone)
        count, total = counts.get(start, (0, 0))
        counts[start] = (count + 1, total + (row["row_hash"] or 0))
    return [
        Bucket(start, count, total if summed else None)
        for start, (count, total) in sorted(counts.items())
    ]


def _bucket_start(at: datetime, level: Level, zone: str) -> datetime:
    if level == "minute":
        return at.replace(second=0, microsecond=0)
    if level == "hour":
        return at.replace(minute=0, second=0, microsecond=0)
    local = at.astimezone(ZoneInfo(zone))
    midnight = datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone))
    return midnight.astimezone(UTC)


def expected_rows(rows: Iterable[Document], spans: Iterable[Span]) -> list[Row]:
    """The rows inside the spans, by time and key."""
    spans = list(spans)
    inside = [
        row
        for row in rows
        if row["received_at"] and any(s.start <= row["received_at"] < s.end for s in spans)
    ]
    listed = [Row(row["message_id"] or "", row["received_at"], row["row_hash"]) for row in inside]
    return sorted(listed, key=lambda row: (row.at, row.key))


def every(minutes: float, start: datetime, hours: float, first: int = 0) -> list[Document]:
    """Documents in even steps, on whole milliseconds."""
    count = int(hours * 60 / minutes)
    step = timedelta(milliseconds=int(minutes * 60_000))
    return [document(first + i, start + i * step) for i in range(count)]


def bytes_of(path: Path) -> bytes:
    """The file as it is, or nothing."""
    return path.read_bytes() if path.exists() else b""


def rows_of(block: DatasetBlock, names: list[str]) -> object:
    """The fields and the rows of the datasets made last."""
    spans = [Span(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))]
    made = [dataset(name) for name in names[-3:]]
    return [(block.fields(data), block.list_rows(data, spans, 10_000)) for data in made]


def elasticsearch_state(ask: Callable[[str, str], bytes], names: list[str]) -> object:
    """Identities, mappings and write counters of the indices."""
    listed = ",".join(names)
    stats = json.loads(ask("GET", f"/{listed}/_stats/indexing,docs"))["indices"]
    counters = {
        name: (of["uuid"], of["total"]["indexing"]["index_total"], of["total"]["docs"]["count"])
        for name, of in stats.items()
    }
    return counters, json.loads(ask("GET", f"/{listed}/_mapping"))


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
