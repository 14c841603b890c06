"""What the names and sizes of a table's partitions say about time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from blocks.warehouse.tables import PartitionUnit
from roundsman.rules.windows import Span, merge_spans

FOREVER = datetime.max.replace(tzinfo=UTC)
_FORMATS: dict[PartitionUnit, str] = {
    "HOUR": "%Y%m%d%H",
    "DAY": "%Y%m%d",
    "MONTH": "%Y%m",
    "YEAR": "%Y",
}
# Rows that BigQuery has not yet sorted into a partition; they may be of any time.
UNSORTED = frozenset({"__UNPARTITIONED__", "__STREAMING_UNPARTITIONED__"})


def newest_start(
    partitions: Iterable[tuple[str, int]], unit: PartitionUnit, until: datetime
) -> datetime | None:
    """The start of the newest non-empty partition that begins before `until`."""
    starts = [partition_span(name, unit) for name, rows in partitions if rows]
    return max((span.start for span in starts if span and span.start < until), default=None)


def rows_within(
    partitions: Iterable[tuple[str, int]], unit: PartitionUnit, spans: Sequence[Span]
) -> int:
    """The rows of all partitions that the spans touch: at most so many rows are read."""
    merged = merge_spans(spans)
    total = 0
    for name, rows in partitions:
        piece = partition_span(name, unit)
        touched = piece and any(s.start < piece.end and piece.start < s.end for s in merged)
        total += rows if touched or name in UNSORTED else 0
    return total


def partition_span(name: str, unit: PartitionUnit) -> Span | None:
    """The stretch of time that a partition's id stands for; None for the special ones."""
    try:
        start = datetime.strptime(name, _FORMATS[unit]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Span(start, _next(start, unit))


def _next(start: datetime, unit: PartitionUnit) -> datetime:
    if unit == "HOUR":
        return start + timedelta(hours=1)
    if unit == "DAY":
        return start + timedelta(days=1)
    if unit == "MONTH":
        return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    return start.replace(year=start.year + 1)
