"""Asking one side of a comparison, whichever system it is; every step reads and may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar, cast

from blocks.dataset import DatasetBlock
from blocks.systems import load_system
from roundsman.agent import Gap, step
from roundsman.rules.parity import Strength
from roundsman.rules.windows import (
    Bucket,
    Dataset,
    Estimate,
    FieldType,
    Level,
    Listing,
    Newest,
    Reading,
    Settling,
    Side,
    Span,
    Window,
    settle_window,
)

# Rows dated later than this are not late clocks but wrong dates.
CLOCK_SKEW = timedelta(minutes=5)

DAILY_STEPS: dict[Side, str] = {"search": "query_es_daily", "warehouse": "query_bq_daily"}

R = TypeVar("R")


class Source(NamedTuple):
    """One side: its system's name, its block, what is compared, and its step in the plan."""

    side: Side
    system: str
    block: DatasetBlock
    data: Dataset
    step: str


class Both(NamedTuple, Generic[R]):
    """The answers of both sides, or what is left of them."""

    search: R | Gap
    warehouse: R | Gap

    @property
    def gaps(self) -> list[Gap]:
        """What was not told."""
        return [answer for answer in self if isinstance(answer, Gap)]


class Sides(NamedTuple):
    """The two sides of a comparison."""

    search: Source
    warehouse: Source

    async def ask(
        self, ask: Callable[[Source], Awaitable[R | Gap]], after: Both[Any] | None = None
    ) -> Both[R]:
        """Put one question to both at once; a side that left a gap before is not asked again."""

        async def one(source: Source, before: object) -> R | Gap:
            return before if isinstance(before, Gap) else await ask(source)

        search, warehouse = after or (None, None)
        return Both(*await asyncio.gather(one(self.search, search), one(self.warehouse, warehouse)))


class SeenNewest(NamedTuple):
    """The newest row that is not dated in the future, and whether there are such rows."""

    newest: Newest
    in_future: bool


class Blemishes(NamedTuple):
    """What is wrong with one side by itself, and its fields; None where it cannot be told."""

    without_time: int
    duplicate_keys: int | None
    fields: dict[str, FieldType]


def open_source(side: Side, system: str, data: Dataset) -> Source:
    """The side's block from systems.yaml, with what is compared of it."""
    block = cast("DatasetBlock", load_system(side, system))
    return Source(side, f"{side}/{system}", block, data, DAILY_STEPS[side])


def estimate_readings(sides: Sides, settling: Settling, strength: Strength) -> list[Reading]:
    """What a comparison would read of each side, by metadata alone."""
    window = settle_window(datetime.now(UTC), None, None, settling)
    why = "every key of the window" if strength == "keys" else "newest row, counts per day"
    readings: list[Reading] = []
    for source in sides:
        guess = source.block.estimate(source.data, [window.span])
        readings.append(Reading(source.system, source.data.name, why, guess.rows, guess.bytes))
    return readings


@step
def read_newest(source: Source, now: datetime) -> SeenNewest:
    """The time of the newest row; one dated in the future would hide that nothing arrives."""
    newest = source.block.newest(source.data)
    if newest.at is None or newest.at <= now + CLOCK_SKEW:
        return SeenNewest(newest, in_future=False)
    return SeenNewest(source.block.newest(source.data, until=now), in_future=True)


@step
def count_buckets(
    source: Source, level: Level, spans: Sequence[Span], window: Window
) -> list[Bucket]:
    """The rows per bucket of one level within the spans."""
    return source.block.count_buckets(source.data, level, spans, window.zone)


@step
def list_rows(source: Source, spans: Sequence[Span], limit: int) -> Listing:
    """Key, time and fingerprint of every row within the spans."""
    return source.block.list_rows(source.data, spans, limit)


@step
def estimate_listing(source: Source, spans: Sequence[Span]) -> Estimate:
    """What listing the spans would touch; asks only for metadata."""
    return source.block.estimate(source.data, spans)


@step
def read_blemishes(source: Source, window: Window) -> Blemishes:
    """Rows that no window holds, keys that are there more than once, and the fields."""
    block, data = source.block, source.data
    return Blemishes(
        without_time=block.count_without_time(data),
        duplicate_keys=block.count_duplicate_keys(data, window.span),
        fields=block.fields(data),
    )
