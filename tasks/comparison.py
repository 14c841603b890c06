"""Following a difference between two sides down to the rows: days, hours, minutes, keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from roundsman.agent import Gap
from roundsman.rules.keys import KeyDifferences, add_unnamed, compare_keys, join_keys
from roundsman.rules.narrowing import (
    HOURS_NARROWED_MAX,
    Difference,
    choose_listed,
    chunk_days,
    compare_buckets,
    find_unexplained,
    listing_batches,
    narrow,
)
from roundsman.rules.parity import Strength
from roundsman.rules.windows import (
    Bucket,
    Estimate,
    Level,
    Listing,
    Span,
    Window,
    bucket_span,
)
from tasks.dataset import Both, Sides, Source, count_buckets, estimate_listing, list_rows

FINER: tuple[tuple[Level, Level], ...] = (("day", "hour"), ("hour", "minute"))
# A listing of the whole window holds so many rows of a side in memory, unless a day is larger.
CHUNK_ROWS_MAX = 200_000
# Rows may arrive between counting and listing.
ARRIVING_SHARE, ARRIVING_ROWS = 0.1, 100

_count = count_buckets.named("check_parity")
_list = list_rows.named("check_parity")
_ask_estimate = estimate_listing.named("check_parity")


class Depth(NamedTuple):
    """How deep to look: what makes a difference, how many keys to name, how many rows to list."""

    strength: Strength
    keys_max: int
    rows_max: int


class Unnamed(NamedTuple):
    """Buckets that differ while none of their keys is known: cut off, or not explained."""

    left_out: list[Difference]
    unexplained: list[Difference]


class Comparison(NamedTuple):
    """What a look into the differences brought; `incomplete` says what stopped it, if anything."""

    keys: KeyDifferences | None = None
    level: Level = "day"
    buckets: tuple[Difference, ...] = ()
    gaps: tuple[Gap, ...] = ()
    incomplete: str = ""
    estimate: Estimate | None = None


async def compare_sides(
    sides: Sides, daily: Both[list[Bucket]], window: Window, depth: Depth
) -> Comparison:
    """Name the rows that differ, as deep as was asked; an unread side leaves nothing to compare."""
    search, warehouse = daily
    if isinstance(search, Gap) or isinstance(warehouse, Gap):
        return Comparison()
    if depth.strength == "keys":
        return await _compare_every_key(sides, _pair(search, warehouse), window, depth)
    # Counts balance out over a day easily, sums of fingerprints do not: hours of every day.
    every_day = depth.strength == "count"
    differing = _pair(search, warehouse) if every_day else compare_buckets(search, warehouse)
    return await _narrow_down(sides, differing, window, depth)


async def _narrow_down(
    sides: Sides, differing: list[Difference], window: Window, depth: Depth
) -> Comparison:
    """One query a side and level, then the keys of the minutes that differ."""
    unnamed = Unnamed([], [])
    for level, finer in FINER:
        spans, chosen, cut = narrow(differing, level, window, HOURS_NARROWED_MAX)
        if not spans:
            break
        counted = await _count_both(sides, finer, spans, window)
        search, warehouse = counted
        if isinstance(search, Gap) or isinstance(warehouse, Gap):
            seen = tuple(bucket for bucket in differing if bucket.differs)
            return _stopped(Comparison(None, level, seen), counted.gaps, depth)
        differing = compare_buckets(search, warehouse)
        unnamed.left_out.extend(cut)
        inside = [bucket_span(item.start, finer, window.zone) for item in differing]
        unnamed.unexplained.extend(find_unexplained(chosen, level, window.zone, inside))
    found = Comparison(KeyDifferences(), "minute", tuple(differing))
    return await _list_differing(sides, found, window, depth, unnamed)


async def _list_differing(
    sides: Sides, found: Comparison, window: Window, depth: Depth, unnamed: Unnamed
) -> Comparison:
    chosen = choose_listed(found.buckets, depth.keys_max)
    limit = _limit(sum(max(item.search, item.warehouse) for item in chosen))
    parts: list[KeyDifferences] = []
    gaps: list[Gap] = []
    for spans in listing_batches(chosen, "minute", window):
        listed = await _list_both(sides, spans, limit)
        gaps += listed.gaps
        if gaps:
            break
        parts.append(_compared(listed, window))
    keys = join_keys(parts, depth.keys_max, window.zone)
    without = find_unexplained(found.buckets, "minute", window.zone, keys.spans)
    # Where the listing stopped, what was not listed is left out rather than not explained.
    sought: set[Difference] = set() if gaps else set(chosen)
    unnamed.unexplained.extend(item for item in without if item in sought)
    unnamed.left_out.extend(item for item in without if item not in sought)
    keys = add_unnamed(keys, *unnamed, window.zone)
    return _stopped(found._replace(keys=keys), gaps, depth)


async def _compare_every_key(
    sides: Sides, days: list[Difference], window: Window, depth: Depth
) -> Comparison:
    """List the whole window on both sides, some days at a time, unless it is too large."""
    rows = max((sum(day.search for day in days), sum(day.warehouse for day in days)))
    estimate = await _estimate(sides, window)
    if rows > depth.rows_max:
        said = f"the window holds {rows:,} rows a side, only {depth.rows_max:,} are listed"
        remedy = "shorten the window, raise rows_max, or use strength 'fingerprint'"
        gap = Gap(step="check_parity", error_type="Refused", said=said, remedy=remedy)
        return _stopped(Comparison(estimate=estimate), [gap], depth)
    parts: list[KeyDifferences] = []
    gaps: list[Gap] = []
    for span in chunk_days(days, window, CHUNK_ROWS_MAX):
        listed = await _list_both(sides, [span], _limit(rows))
        gaps += listed.gaps
        if gaps:
            break
        parts.append(_compared(listed, window))
    found = Comparison(join_keys(parts, depth.keys_max, window.zone), estimate=estimate)
    return _stopped(found, gaps, depth)


async def _count_both(
    sides: Sides, level: Level, spans: Sequence[Span], window: Window
) -> Both[list[Bucket]]:
    async def ask(source: Source) -> list[Bucket] | Gap:
        return await _count.or_gap(source, level, spans, window)

    return await sides.ask(ask)


async def _list_both(sides: Sides, spans: Sequence[Span], limit: int) -> Both[Listing]:
    async def ask(source: Source) -> Listing | Gap:
        return await _list.or_gap(source, spans, limit)

    return await sides.ask(ask)


def _compared(listed: Both[Listing], window: Window) -> KeyDifferences:
    assert not isinstance(listed.search, Gap)
    assert not isinstance(listed.warehouse, Gap)
    return compare_keys(listed.search, listed.warehouse, window.zone)


def _stopped(found: Comparison, gaps: Sequence[Gap], depth: Depth) -> Comparison:
    """The comparison with its gaps, and what they mean for a look deeper than counts."""
    keys = found.keys
    said = gaps[0].said if gaps else _shortcoming(keys) if keys else ""
    if depth.strength == "count" or not said:
        return found._replace(gaps=tuple(gaps))
    incomplete = f"the look at strength '{depth.strength}' is incomplete: {said}"
    return found._replace(gaps=tuple(gaps), incomplete=incomplete)


def _shortcoming(keys: KeyDifferences) -> str:
    if keys.cut or keys.buckets_left_out:
        return "more differs than is listed"
    if keys.buckets_unexplained:
        return f"{keys.buckets_unexplained:,} buckets differ, but no key listed there does"
    return ""


def _pair(search: list[Bucket], warehouse: list[Bucket]) -> list[Difference]:
    """Every day of both sides, whether it differs or not."""
    ours, theirs = ({bucket.start: bucket.count for bucket in side} for side in (search, warehouse))
    return [
        Difference(start, ours.get(start, 0), theirs.get(start, 0))
        for start in sorted(ours.keys() | theirs.keys())
    ]


def _limit(rows: int) -> int:
    return int(rows * (1 + ARRIVING_SHARE)) + ARRIVING_ROWS


async def _estimate(sides: Sides, window: Window) -> Estimate:
    async def ask(source: Source) -> Estimate | Gap:
        return await _ask_estimate.or_gap(source, [window.span])

    told = [answer for answer in await sides.ask(ask) if not isinstance(answer, Gap)]
    rows = [answer.rows for answer in told if answer.rows is not None]
    size = [answer.bytes for answer in told if answer.bytes is not None]
    return Estimate(sum(rows) if rows else None, sum(size) if size else None)
