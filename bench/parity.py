"""Does a comparison of a million rows a side find every row that differs, and at what price?"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

from bench.figures import Emitter, Figure, emitter, tell
from blocks.dataset import DatasetBlock
from blocks.search import SqliteSearch
from blocks.warehouse import DuckdbWarehouse
from roundsman import budget
from roundsman.agent import Gap
from roundsman.budget import Meter, Purse
from roundsman.rules.budget import Budget
from roundsman.rules.parity import Strength
from roundsman.rules.windows import (
    Bucket,
    Dataset,
    Estimate,
    FieldType,
    Level,
    Listing,
    Settling,
    Span,
    day_spans,
    settle_window,
)
from roundsman.store.records import Spent
from tasks.comparison import Depth, compare_sides
from tasks.dataset import Sides, Source, count_buckets
from tests.permits import granted

ROWS, DAYS = 1_000_000, 14
MISSING, EXTRA, BALANCED, CHANGED = 10, 10, 3, 5
SEED = 20
END = datetime(2026, 11, 20, 12, tzinfo=UTC)
START = END - timedelta(days=DAYS)
REQUESTS_MAX, TRANSFERRED_MAX = 200, 0.02
STRENGTHS: tuple[Strength, ...] = ("count", "keys", "fingerprint")
# Declared widths, as BigQuery counts them: a TIMESTAMP or INT64, and a STRING of 24 to 30 letters.
NUMBER_BYTES, KEY_BYTES = 8, 32


class Planted(NamedTuple):
    """How many rows a side has, and the differences between the sides, by key.

    `balanced` extras hide a missing row each.
    """

    rows: int
    missing: frozenset[str]
    extra: dict[str, datetime]
    changed: frozenset[str]
    balanced: frozenset[str]


class Seen(NamedTuple):
    """What one look found, and what it cost."""

    differing: frozenset[str]
    minutes: frozenset[datetime]
    rows_read: int
    requests: int
    scanned: int
    seconds: float


def arrival(number: int, of: int) -> datetime:
    """When a row came: evenly over the days, on whole milliseconds."""
    return START + timedelta(milliseconds=number * (DAYS * 86_400_000 // of))


def key_of(number: int) -> str:
    """A key as long as a usual one."""
    return f"row-{number:012d}@bench.example"


def plant(chance: random.Random, of: int) -> Planted:
    """Choose the rows that differ; a balanced extra comes in the minute of a missing one."""
    numbers = chance.sample(range(of // 100, of - of // 100), MISSING + EXTRA + CHANGED)
    missing, rest = numbers[:MISSING], numbers[MISSING:]
    times = [arrival(number, of) for number in missing[:BALANCED]]
    times += [arrival(number, of) for number in rest[: EXTRA - BALANCED]]
    extra = {f"extra-{i:04d}@bench.example": at for i, at in enumerate(times)}
    return Planted(
        of,
        frozenset(map(key_of, missing)),
        extra,
        frozenset(map(key_of, rest[EXTRA:])),
        frozenset([*map(key_of, missing[:BALANCED]), *list(extra)[:BALANCED]]),
    )


def rows(planted: Planted) -> Iterator[dict[str, Any]]:
    """The rows of a side, with what was planted."""
    for number in range(planted.rows):
        key = key_of(number)
        if key not in planted.missing:
            mark = (number * 2_654_435_761) % 2**32
            yield _row(key, arrival(number, planted.rows), mark + (key in planted.changed))
    for key, at in planted.extra.items():
        yield _row(key, at, 7)


def untouched(of: int) -> Planted:
    """The side in which nothing was planted."""
    return Planted(of, frozenset(), {}, frozenset(), frozenset())


def _row(key: str, at: datetime, mark: int) -> dict[str, Any]:
    return {"received_at": at, "message_id": key, "fingerprint": mark}


def open_purse(paid: list[str]) -> Purse:
    """A run's purse without a limit; each operation that a block pays for is one more in `paid`."""

    def spend_one() -> Spent:
        paid.append("operation")
        return Spent(ok=True, ops_used=len(paid), ops_limit=None)

    return Purse(Meter(Budget(), spend_one, lambda _: None), lambda: None)


class Scanned:
    """A block that adds up what its reads would scan of a table with daily partitions."""

    def __init__(self, block: DatasetBlock, rows: int) -> None:
        self.block = block
        self.rows = rows
        self.bytes = 0

    def count_buckets(
        self, data: Dataset, level: Level, spans: Sequence[Span], zone: str
    ) -> list[Bucket]:
        """Time, and the fingerprint where it is summed."""
        self.bytes += rows_in_partitions(spans, self.rows) * _width(data)
        return self.block.count_buckets(data, level, spans, zone)

    def list_rows(self, data: Dataset, spans: Sequence[Span], limit: int) -> Listing:
        """Time, key and fingerprint."""
        self.bytes += rows_in_partitions(spans, self.rows) * (_width(data) + KEY_BYTES)
        return self.block.list_rows(data, spans, limit)

    def estimate(self, data: Dataset, spans: Sequence[Span]) -> Estimate:
        """Scans nothing."""
        return self.block.estimate(data, spans)


def rows_in_partitions(spans: Sequence[Span], of: int) -> int:
    """The rows of every day that a span touches."""
    days = {day for span in spans for day in day_spans(span, "UTC")}
    seconds = sum((min(d.end, END) - max(d.start, START)).total_seconds() for d in days)
    return round(seconds * of / (DAYS * 86_400))


def _width(data: Dataset) -> int:
    return NUMBER_BYTES * (2 if data.fingerprint_field else 1)


def minutes_apart(planted: Planted) -> set[datetime]:
    """The minutes in which the counts of the two sides differ."""
    apart: Counter[datetime] = Counter()
    lost = (arrival(int(key[4:16]), planted.rows) for key in planted.missing)
    apart.update(at.replace(second=0, microsecond=0) for at in lost)
    apart.subtract(at.replace(second=0, microsecond=0) for at in planted.extra.values())
    return {minute for minute, number in apart.items() if number}


def open_platform(folder: Path, planted: Planted) -> tuple[DatasetBlock, DatasetBlock]:
    """Both twins, filled."""
    fields: dict[str, FieldType] = {
        "received_at": "timestamp",
        "message_id": "keyword",
        "fingerprint": "integer",
    }
    search = SqliteSearch(path=folder / "search.db")
    warehouse = DuckdbWarehouse(path=folder / "warehouse.duckdb")
    granted(search.replace, "rows", fields, rows(untouched(planted.rows)))
    granted(warehouse.replace, "bench.rows", fields, rows(planted))
    return search, warehouse


def open_sides(blocks: tuple[Scanned, Scanned], strength: Strength) -> Sides:
    """The sides as the agent has them; without fingerprints where counts are compared."""
    mark = None if strength == "count" else "fingerprint"

    def data(name: str) -> Dataset:
        return Dataset(
            name=name, time_field="received_at", key_field="message_id", fingerprint_field=mark
        )

    search, warehouse = (cast("DatasetBlock", block) for block in blocks)
    return Sides(
        Source("search", "search/bench", search, data("rows"), "days"),
        Source("warehouse", "warehouse/bench", warehouse, data("bench.rows"), "days"),
    )


async def look(blocks: tuple[DatasetBlock, DatasetBlock], strength: Strength, of: int) -> Seen:
    """Count days and follow the differences, with the agent's own steps."""
    scanned = (Scanned(blocks[0], of), Scanned(blocks[1], of))
    sides = open_sides(scanned, strength)
    window = settle_window(END, None, None, Settling(days=DAYS, settle_minutes=0))
    paid: list[str] = []
    budget.meter.set(open_purse(paid))
    began = time.perf_counter()

    async def days_of(source: Source) -> list[Bucket] | Gap:
        return await count_buckets(source, "day", [window.span], window)

    daily = await sides.ask(days_of)
    found = await compare_sides(sides, daily, window, Depth(strength, 1_000, 2 * of))
    assert found.keys is not None
    assert not found.gaps
    return Seen(
        frozenset(item.key for item in found.keys.listed),
        frozenset(bucket.start for bucket in found.buckets if not bucket.balanced),
        found.keys.rows_read,
        len(paid),
        sum(block.bytes for block in scanned),
        time.perf_counter() - began,
    )


def report(out: Emitter, planted: Planted, looks: dict[str, Seen]) -> None:
    """Print what was found and what it cost."""
    count, keys, fingerprint = looks["count"], looks["keys"], looks["fingerprint"]
    moved = planted.missing | planted.extra.keys()
    shares = {
        "count_found": (minutes_apart(planted), count.minutes),
        "keys_found": (moved, keys.differing),
        "fingerprint_found": (moved | planted.changed, fingerprint.differing),
    }
    for name, (wanted, found) in shares.items():
        share = len(wanted & found) / len(wanted)
        out.emit(Figure(name, share, f"of {len(wanted)}", goal=1.0, better="higher"))
    for name, seen in (("count", count), ("fingerprint", fingerprint)):
        share = seen.rows_read / (2 * planted.rows)
        out.emit(Figure(f"{name}_transferred", share, "of all rows", goal=TRANSFERRED_MAX))
    most = max(count.requests, fingerprint.requests)
    out.emit(Figure("requests", most, "of both sides", goal=REQUESTS_MAX))
    out.emit(Figure("keys_requests", keys.requests, "of both sides"))
    for name, seen in looks.items():
        out.emit(Figure(f"{name}_scanned_bytes", seen.scanned, "bytes"))
        out.emit(Figure(f"{name}_s", seen.seconds, "s"))


def main() -> int:
    """Print the figures; 1 where one falls short."""
    out = emitter(__doc__ or "", rows=ROWS)
    of = out.sizes["rows"]
    planted = plant(random.Random(SEED), of)
    with tempfile.TemporaryDirectory(prefix="bench-parity-") as folder:
        os.environ["ROUNDSMAN_HOME"] = folder
        budget.meter.set(open_purse([]))
        tell(f"filling {of:,} rows into each twin ...")
        blocks = open_platform(Path(folder), planted)
        looks: dict[str, Seen] = {}
        for strength in STRENGTHS:
            tell(f"looking at strength {strength} ...")
            looks[strength] = asyncio.run(look(blocks, strength, of))
    report(out, planted, looks)
    return out.exit_code()


if __name__ == "__main__":
    sys.exit(main())
