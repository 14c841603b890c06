"""Which rows differ, by their keys: missing, extra, changed, or there more than once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.windows import Listing, Row

KeyKind = Literal["missing", "extra", "changed", "duplicate"]
KINDS: tuple[KeyKind, ...] = ("missing", "extra", "changed", "duplicate")
# Systems store times with different precision (Elasticsearch milliseconds, BigQuery microseconds).
SAME_TIME = timedelta(seconds=1)
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
    difference, and `buckets_left_out`, is what a limit cut off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    listed: tuple[KeyDifference, ...] = ()
    found: dict[KeyKind, int] = dict.fromkeys(KINDS, 0)
    rows_read: int = 0
    rows_without_key: int = 0
    buckets_left_out: int = 0
    cut: bool = False

    @property
    def total(self) -> int:
        """All differing keys, named or not."""
        return sum(self.found.values())

    def of(self, kind: KeyKind) -> tuple[KeyDifference, ...]:
        """The named keys of one kind."""
        return tuple(difference for difference in self.listed if difference.kind == kind)


def compare_keys(
    search: Listing, warehouse: Listing, most: int = DIFFERENCES_KEPT_MAX
) -> KeyDifferences:
    """Compare two listings of the same spans; every difference is counted, `most` are named.

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
    return KeyDifferences(
        listed=_in_time(found)[:most],
        found={kind: counts[kind] for kind in KINDS},
        rows_read=len(search.rows) + len(warehouse.rows),
        rows_without_key=nameless,
        cut=search.cut or warehouse.cut,
    )


def join_keys(parts: Iterable[KeyDifferences], keys_max: int, left_out: int = 0) -> KeyDifferences:
    """Several comparisons as one, with at most `keys_max` keys named.

    A key that one part misses and another has too much has moved in time: it is changed.
    """
    every = list(parts)
    found = Counter[KeyKind]()
    for part in every:
        found.update(part.found)
    named, moved = _reconcile(item for part in every for item in part.listed)
    found.update({"missing": -moved, "extra": -moved, "changed": moved})
    return KeyDifferences(
        listed=_in_time(named)[:keys_max],
        found={kind: found[kind] for kind in KINDS},
        rows_read=sum(part.rows_read for part in every),
        rows_without_key=sum(part.rows_without_key for part in every),
        buckets_left_out=left_out,
        cut=any(part.cut for part in every),
    )


def _reconcile(differences: Iterable[KeyDifference]) -> tuple[list[KeyDifference], int]:
    """What is missing in one place and extra in another as one change, and how often that was."""
    kinds: defaultdict[str, dict[KeyKind, KeyDifference]] = defaultdict(dict)
    for difference in differences:
        kinds[difference.key][difference.kind] = difference
    named: list[KeyDifference] = []
    moved = 0
    for key, same in kinds.items():
        if "missing" in same and "extra" in same:
            moved += 1
            ours, theirs = same.pop("missing").at, same.pop("extra").at
            detail = _other_time(ours, theirs)
            named.append(KeyDifference(kind="changed", key=key, at=ours, detail=detail))
        named.extend(same.values())
    return named, moved


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
    known = ours.fingerprint is not None and theirs.fingerprint is not None
    if known and ours.fingerprint != theirs.fingerprint:
        return f"fingerprint is {ours.fingerprint} in search, {theirs.fingerprint} in the warehouse"
    return ""


def _other_time(ours: datetime, theirs: datetime) -> str:
    return f"time is {_clock(ours)} in search, {_clock(theirs)} in the warehouse"


def _in_time(found: Iterable[KeyDifference]) -> tuple[KeyDifference, ...]:
    return tuple(sorted(found, key=lambda item: (item.at, item.key, item.kind)))


def _clock(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
