"""Where two sides differ: which buckets, which spans to look at next, and which to list."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from roundsman.rules.windows import (
    Bucket,
    Level,
    Span,
    Window,
    bucket_span,
    intersect_spans,
    local_date,
    merge_spans,
)

# Elasticsearch answers at most 65,536 buckets: so many hours hold fewer minutes than that.
HOURS_NARROWED_MAX = 1_000
# Minutes that one listing names; more are asked for in a further listing.
SPANS_LISTED_MAX = 500
# Rows of both sides that are listed to name the keys of differing buckets.
ROWS_LISTED_MAX = 400_000


class Difference(NamedTuple):
    """A bucket of both sides; `balanced` when only the fingerprints say that it differs."""

    start: datetime
    search: int
    warehouse: int
    balanced: bool = False

    @property
    def differs(self) -> bool:
        """Whether it is a difference, and not only a bucket that was looked at."""
        return self.balanced or self.search != self.warehouse

    @property
    def rows(self) -> int:
        """How many rows must be read to name the differing ones."""
        return self.search + self.warehouse

    @property
    def least(self) -> int:
        """At least so many rows differ."""
        return max(abs(self.search - self.warehouse), 1)


class Narrowed(NamedTuple):
    """Where to look next, in which buckets, and the buckets that a limit cut off."""

    spans: list[Span]
    chosen: list[Difference]
    left_out: list[Difference]


def compare_buckets(search: Iterable[Bucket], warehouse: Iterable[Bucket]) -> list[Difference]:
    """The buckets whose counts, or whose sums of fingerprints, differ; ascending."""
    ours = {bucket.start: bucket for bucket in search}
    theirs = {bucket.start: bucket for bucket in warehouse}
    differences: list[Difference] = []
    for start in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(start, Bucket(start, 0)), theirs.get(start, Bucket(start, 0))
        if a.count != b.count:
            differences.append(Difference(start, a.count, b.count))
        elif _sums_differ(a, b):
            differences.append(Difference(start, a.count, b.count, balanced=True))
    return differences


def _sums_differ(a: Bucket, b: Bucket) -> bool:
    # A sum of nothing is none in SQL and zero in Elasticsearch.
    return (a.fingerprint_sum or 0) != (b.fingerprint_sum or 0)


def find_unexplained(
    differences: Iterable[Difference], level: Level, zone: str, inside: Iterable[Span]
) -> list[Difference]:
    """The buckets that differ although nothing that was found `inside` lies in them."""
    found = merge_spans(inside)
    ends = [span.end for span in found]

    def is_explained(bucket: Span) -> bool:
        i = bisect_right(ends, bucket.start)
        return i < len(found) and found[i].start < bucket.end

    return [
        difference
        for difference in differences
        if difference.differs and not is_explained(bucket_span(difference.start, level, zone))
    ]


def count_certain(differences: Iterable[Difference], zone: str) -> Counter[date]:
    """At least so many rows differ on each day.

    What one bucket has too much may have moved to where another has too little: it counts once.
    """
    more, less, changed = Counter[date](), Counter[date](), Counter[date]()
    for item in differences:
        day = local_date(item.start, zone)
        more[day] += max(item.search - item.warehouse, 0)
        less[day] += max(item.warehouse - item.search, 0)
        changed[day] += item.balanced
    return (more | less) + changed


def narrow(differences: Sequence[Difference], level: Level, window: Window, most: int) -> Narrowed:
    """The spans of the differing buckets, inside the window; at most `most` of them.

    Where not all fit, those with the fewest rows come first: a few rows lost in a quiet hour are
    the ones that only their keys explain, while a whole hour that is missing explains itself.
    """
    ranked = _cheapest(differences)
    chosen, left_out = ranked[:most], [item for item in ranked[most:] if item.differs]
    whole = [bucket_span(difference.start, level, window.zone) for difference in chosen]
    return Narrowed(intersect_spans(whole, [window.span]), chosen, left_out)


def choose_listed(differences: Sequence[Difference], keys_max: int) -> list[Difference]:
    """The differing buckets to list until `keys_max` differing keys are certain; cheapest first.

    A load that gave a whole day one time makes a bucket too large to list: it is left out.
    """
    chosen: list[Difference] = []
    certain = rows = 0
    for difference in _cheapest(differences):
        rows += difference.rows
        if certain >= keys_max or rows > ROWS_LISTED_MAX:
            break
        chosen.append(difference)
        certain += difference.least
    return chosen


def listing_batches(chosen: Sequence[Difference], level: Level, window: Window) -> list[list[Span]]:
    """The chosen buckets as merged spans, in batches that one request can name."""
    spans = merge_spans(bucket_span(item.start, level, window.zone) for item in chosen)
    inside = intersect_spans(spans, [window.span])
    return [inside[i : i + SPANS_LISTED_MAX] for i in range(0, len(inside), SPANS_LISTED_MAX)]


def chunk_days(days: Sequence[Difference], window: Window, rows_max: int) -> list[Span]:
    """The whole window in runs of days of which no side holds more than `rows_max` rows.

    A single day that is larger stays whole: a day is the smallest chunk.
    """
    chunks: list[list[Span]] = []
    search = warehouse = 0
    for day in days:
        search, warehouse = search + day.search, warehouse + day.warehouse
        if not chunks or max(search, warehouse) > rows_max:
            chunks.append([])
            search, warehouse = day.search, day.warehouse
        chunks[-1].append(bucket_span(day.start, "day", window.zone))
    spans = [Span(chunk[0].start, chunk[-1].end) for chunk in chunks]
    return [part for span in spans for part in intersect_spans([span], [window.span])]


def _cheapest(differences: Iterable[Difference]) -> list[Difference]:
    return sorted(differences, key=lambda item: (item.rows, item.start))
