"""Which rows differ, by their keys: missing, extra, changed, or there more than once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from roundsman.rules.narrowing import Difference, count_certain
from roundsman.rules.windows import Listing, Row, Span, local_date

KeyKind = Literal["missing", "extra", "changed", "duplicate"]
KINDS: tuple[KeyKind, ...] = ("missing", "extra", "changed", "duplicate")
# Duplicates are no difference between the sides; they are a finding of their own.
DIFFERING_KINDS: tuple[KeyKind, ...] = ("missing", "extra", "changed")
# Systems store times with different precision (Elasticsearch milliseconds, BigQuery microseconds).
SAME_TIME = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
# Differences that one comparison keeps by name, so that two wholly different days fit in memory.
DIFFERENCES_KEPT_MAX = 5_000


class KeyDifference(BaseModel):
    """One key that differs. Missing: in the search, not in the warehouse. Extra: the reverse.

    `at` is its time in the search where it is there, else in the warehouse.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: KeyKind
    key: str
    at: datetime
    detail: str = ""


class KeyDifferences(BaseModel):
    """The differing keys of what was listed, ordered by time, and how much was listed.

    `found` counts every differing key, `listed` names at most as many as were asked for; the
    difference, and `buckets_left_out`, is what a limit cut off. `by_date` counts the differing
    rows of each day, and `minutes` holds when a key differs, both before any limit: they judge.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    listed: tuple[KeyDifference, ...] = ()
    found: dict[KeyKind, int] = dict.fromkeys(KINDS, 0)
    rows_read: int = 0
    rows_without_key: int = 0
    buckets_left_out: int = 0
    buckets_unexplained: int = 0
    cut: bool = False
    by_date: dict[date, int] = Field(default={}, exclude=True, repr=False)
    minutes: frozenset[datetime] = Field(default=frozenset(), exclude=True, repr=False)

    @property
    def total(self) -> int:
        """All differing keys, named or not."""
        return sum(self.found.values())

    @property
    def spans(self) -> list[Span]:
        """The minutes in which a key differs."""
        return [Span(minute, minute + MINUTE) for minute in self.minutes]

    def of(self, kind: KeyKind) -> tuple[KeyDifference, ...]:
        """The named keys of one kind."""
        return tuple(difference for difference in self.listed if difference.kind == kind)


def compare_keys(
    search: Listing, warehouse: Listing, zone: str = "UTC", most: int = DIFFERENCES_KEPT_MAX
) -> KeyDifferences:
    """Compare two listings of the same spans; every difference is counted, `most` are named.

    Days are those of `zone`; a row that moved counts on the day that the search gives it.

    Where a listing was cut, only the time before its last row is compared: beyond it a row that
    was not listed would look missing.
    """
    horizon = min((side.rows[-1].at for side in (search, warehouse) if side.cut), default=None)
    ours, theirs = _by_key(search.rows, horizon), _by_key(warehouse.rows, horizon)
    nameless = len(ours.pop("", [])) + len(theirs.pop("", []))
    found = [
        difference
        for key in ours.keys() | theirs.keys()
        if (difference := _compare(key, ours.get(key, []), theirs.get(key, [])))
    ]
    counts = Counter(difference.kind for difference in found)
    by_date = Counter(local_date(item.at, zone) for item in found if item.kind in DIFFERING_KINDS)
    rows = (row for item in found for side in (ours, theirs) for row in side.get(item.key, []))
    return KeyDifferences(
        listed=_in_time(found)[:most],
        found={kind: counts[kind] for kind in KINDS},
        rows_read=len(search.rows) + len(warehouse.rows),
        rows_without_key=nameless,
        cut=search.cut or warehouse.cut,
        by_date=by_date,
        minutes=frozenset(row.at.replace(second=0, microsecond=0) for row in rows),
    )


def join_keys(parts: Iterable[KeyDifferences], keys_max: int, zone: str = "UTC") -> KeyDifferences:
    """Several comparisons as one, with at most `keys_max` keys named.

    A key that one part misses and another has too much has moved in time: it is changed. A key
    that differs alike in several parts is one key; its rows still count on each of their days.
    """
    every = list(parts)
    found, by_date = Counter[KeyKind](), Counter[date]()
    for part in every:
        found.update(part.found)
        by_date.update(part.by_date)
    joined = _reconcile(item for part in every for item in part.listed)
    found.subtract(joined.spared)
    found.update(item.kind for item, _ in joined.moved)
    by_date.subtract(local_date(at, zone) for _, at in joined.moved)
    named = [*joined.kept, *(item for item, _ in joined.moved)]
    return KeyDifferences(
        listed=_in_time(named)[:keys_max],
        found={kind: found[kind] for kind in KINDS},
        rows_read=sum(part.rows_read for part in every),
        rows_without_key=sum(part.rows_without_key for part in every),
        cut=any(part.cut for part in every),
        by_date=+by_date,
        minutes=frozenset[datetime]().union(*(part.minutes for part in every)),
    )


def add_unnamed(
    keys: KeyDifferences,
    left_out: Sequence[Difference],
    unexplained: Sequence[Difference],
    zone: str,
) -> KeyDifferences:
    """The same keys, beside buckets that differ and name none: they weigh what is certain."""
    certain = count_certain([*left_out, *unexplained], zone)
    return keys.model_copy(
        update={
            "buckets_left_out": len(left_out),
            "buckets_unexplained": len(unexplained),
            "by_date": dict(Counter(keys.by_date) + certain),
        }
    )


class _Reconciled(NamedTuple):
    """Each key once; what moved with its time in the warehouse; how many namings that spared."""

    kept: list[KeyDifference]
    moved: list[tuple[KeyDifference, datetime]]
    spared: Counter[KeyKind]


def _reconcile(differences: Iterable[KeyDifference]) -> _Reconciled:
    """What is missing in one place and extra in another as one change; what repeats as one."""
    kinds: defaultdict[str, dict[KeyKind, KeyDifference]] = defaultdict(dict)
    done = _Reconciled([], [], Counter())
    for difference in differences:
        if kinds[difference.key].setdefault(difference.kind, difference) is not difference:
            done.spared[difference.kind] += 1
    for key, same in kinds.items():
        if "missing" in same and "extra" in same:
            ours, theirs = same.pop("missing").at, same.pop("extra").at
            done.spared.update(("missing", "extra"))
            detail = _other_time(ours, theirs)
            moved = KeyDifference(kind="changed", key=key, at=ours, detail=detail)
            if same.pop("changed", None):
                done.spared["changed"] += 1
            done.moved.append((moved, theirs))
        done.kept.extend(same.values())
    return done


def _by_key(rows: Iterable[Row], horizon: datetime | None) -> dict[str, list[Row]]:
    grouped: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if horizon is None or row.at < horizon:
            grouped[row.key].append(row)
    return dict(grouped)


def _compare(key: str, ours: list[Row], theirs: list[Row]) -> KeyDifference | None:
    if not theirs:
        return KeyDifference(kind="missing", key=key, at=ours[0].at, detail=_times(ours))
    if not ours:
        return KeyDifference(kind="extra", key=key, at=theirs[0].at, detail=_times(theirs))
    at = ours[0].at
    if len(ours) > 1 or len(theirs) > 1:
        detail = f"{len(ours)} in search, {len(theirs)} in the warehouse"
        return KeyDifference(kind="duplicate", key=key, at=at, detail=detail)
    change = _change(ours[0], theirs[0])
    return KeyDifference(kind="changed", key=key, at=at, detail=change) if change else None


def _times(rows: list[Row]) -> str:
    return f"{len(rows)} times" if len(rows) > 1 else ""


def _change(ours: Row, theirs: Row) -> str:
    if abs(ours.at - theirs.at) >= SAME_TIME:
        return _other_time(ours.at, theirs.at)
    if ours.fingerprint != theirs.fingerprint:
        return f"fingerprint is {_print(ours)} in search, {_print(theirs)} in the warehouse"
    return ""


def _print(row: Row) -> str:
    return "none" if row.fingerprint is None else str(row.fingerprint)


def _other_time(ours: datetime, theirs: datetime) -> str:
    return f"time is {_clock(ours)} in search, {_clock(theirs)} in the warehouse"


def _in_time(found: Iterable[KeyDifference]) -> tuple[KeyDifference, ...]:
    return tuple(sorted(found, key=lambda item: (item.at, item.key, item.kind)))


def _clock(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
