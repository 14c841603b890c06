"""Whether an org's events are the ones that were chained, and which is the first that is not."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from roundsman.store.chain import Anchor, genesis
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger, open_raw

PROBLEMS_MAX = 20
ROWS_AT_ONCE = 5000

_EVENTS = (
    "SELECT seq, run_id, attempt, kind, at, payload, payload_sha256, hash FROM events"
    " WHERE org_id = :org AND seq >= :first ORDER BY seq"
)
_HASHES = "SELECT seq, hash FROM events WHERE org_id = :org ORDER BY seq"
_HEAD = "SELECT seq, hash FROM chain_heads WHERE org_id = :org"

# seq, run_id, attempt, kind, at, payload, payload_sha256, hash; texts as bytes
RawEvent = tuple[int, bytes, int, bytes, bytes, bytes | None, bytes, bytes]


class ChainReport(NamedTuple):
    """What was found: at most 20 sentences, and how many more there would be."""

    events: int
    seq: int
    hash: str
    at: str
    problems: list[str]
    more: int


def check_chain(ledger: Ledger, org: str, anchors: Iterable[Anchor]) -> ChainReport:
    """Read an org's events once, in order, and check numbers, payloads, hashes and anchors."""
    walk = _Walk(ledger, org, anchors)
    with ledger.reading() as connection:
        with stream(ledger, connection, _EVENTS, _from(org)) as rows:
            walk.follow(rows)
        if walk.misfit is not None:
            walk.explain(_diagnose(ledger, connection, (org, *walk.misfit)))
        walk.finish(ledger.execute(connection, _HEAD, {"org": org}).first())
    return walk.report()


class _Walk:
    """One pass over a chain; keeps the sentences about what does not fit."""

    def __init__(self, ledger: Ledger, org: str, anchors: Iterable[Anchor]) -> None:
        self.key = ledger.key
        self.org = org
        self.expected = 1
        self.at = b""
        self.previous = genesis(ledger.key, org).encode()
        self.misfit: tuple[int, bytes] | None = None
        self.said: list[tuple[int, str]] = []
        self.more = 0
        self.count = 0
        self.anchors: dict[int, list[Anchor]] = {}
        for anchor in anchors:
            self.anchors.setdefault(anchor.seq, []).append(anchor)

    def say(self, seq: int, what: str) -> None:
        """Keep a sentence about one event, unless there are too many already."""
        if len(self.said) < PROBLEMS_MAX:
            self.said.append((seq, f"event {seq} of org '{self.org}': {what}"))
        else:
            self.more += 1

    def explain(self, what: str) -> None:
        """Add the sentence about the first event that does not fit; it is never cut."""
        if self.misfit is not None:
            seq = self.misfit[0]
            self.said.insert(0, (seq, f"event {seq} of org '{self.org}': {what}"))

    def follow(self, rows: Iterator[RawEvent]) -> None:
        """Check every row against the one before it; the hot loop of a verification."""
        key, sha256, digest_of = self.key, hashlib.sha256, hmac.digest
        previous, expected, anchors = self.previous, self.expected, self.anchors
        otherwise = at = None
        for seq, run, attempt, kind, at, payload, sha, stored in rows:
            broken = seq != expected
            if broken and not self._gap(expected, seq):
                continue
            try:
                fields = b"\n".join((b"%d" % seq, run, b"%d" % attempt, kind, at, sha))
                own = digest_of(key, previous + b"\n" + fields, "sha256").hex().encode()
                if own != stored and not broken and not self._fits(otherwise, fields, stored):
                    self._misfit(seq, previous)
                elif payload is not None and sha256(payload).hexdigest().encode() != sha:
                    self.say(seq, "payload was changed")
                otherwise = None if own == stored or broken else own
            except TypeError:
                self.say(seq, "the row holds values of another type: it was changed")
            if seq in anchors:
                self._compare(anchors[seq], stored)
            previous, expected = stored, seq + 1
            self.count += 1
        self.previous, self.expected, self.at = previous, expected, at or b""

    def _fits(self, previous: bytes | None, fields: bytes, stored: bytes) -> bool:
        """Whether only the row before had its hash changed."""
        if previous is None:
            return False
        own = hmac.digest(self.key, previous + b"\n" + fields, "sha256")
        return own.hex().encode() == stored

    def _misfit(self, seq: int, previous: bytes) -> None:
        if self.misfit is None:
            # Explained after the pass, because the answer may stand further down.
            self.misfit = (seq, previous)
        else:
            self.say(seq, "does not fit its hash")

    def _gap(self, expected: int, seq: Any) -> bool:
        """Say what is missing before this row; False where its number is no number."""
        if not isinstance(seq, int):
            self.say(expected, f"a row with the number {seq!r} was inserted")
        elif seq < expected:
            self.say(seq, "was inserted: no chain starts before event 1")
        elif seq == expected + 1:
            self.say(expected, "was removed")
        else:
            self.say(expected, f"was removed, with all up to event {seq - 1}")
        return isinstance(seq, int) and seq > expected

    def _compare(self, anchors: list[Anchor], stored: bytes) -> None:
        for anchor in anchors:
            if anchor.hash.encode() != stored:
                self.say(anchor.seq, f"its hash is not the one anchored at {anchor.at}")

    def finish(self, head: Any) -> None:
        """Compare the last event with the head row and with the anchors."""
        last = self.expected - 1
        if head is None and self.count:
            self.say(last, "the chain's head row was removed")
        elif head is not None and head[0] > last:
            self.say(last + 1, f"was removed from the tail (the head is event {head[0]})")
        elif head is not None and head[0] < last:
            self.say(head[0] + 1, f"was inserted (the head is event {head[0]})")
        elif head is not None and self.count and str(head[1]).encode() != self.previous:
            self.say(last, "the chain's head row has another hash")
        cut = [anchor for seq in self.anchors if seq > last for anchor in self.anchors[seq]]
        if cut:
            newest = max(cut, key=lambda anchor: anchor.seq)
            self.say(
                last + 1,
                f"was removed from the tail (event {newest.seq} was anchored at {newest.at})",
            )

    def report(self) -> ChainReport:
        """Return the sentences in the order of the events they are about."""
        problems = [sentence for _, sentence in sorted(self.said, key=lambda said: said[0])]
        last, at = self.expected - 1, self.at.decode("utf-8", "replace")
        digest = self.previous.decode("utf-8", "replace")
        return ChainReport(self.count, last, digest, at, problems, self.more)


def _diagnose(ledger: Ledger, connection: Connection, where: tuple[str, int, bytes]) -> str:
    """Say what most likely happened to the first event that does not fit the one before it."""
    org, seq, previous = where
    values = {"org": org, "first": seq}
    with stream(ledger, connection, _EVENTS + " LIMIT 2", values) as rows:
        found = list(rows)
    row = found[0]
    with stream(ledger, connection, _HASHES, {"org": org}) as hashes:
        place = _place_of(ledger, row, hashes)
    following = found[1] if len(found) > 1 else None
    if following and place is None:
        if _link(ledger, previous, seq, following) == following[7]:
            return "was inserted: the row behind it is the one that belongs here"
        if _link(ledger, row[7], seq + 2, following) == following[7]:
            return "was removed, and the later rows were renumbered"
    if place is not None:
        return f"was re-ordered: the row here is event {place}"
    return "the row was changed: it does not fit its hash"


def _place_of(ledger: Ledger, row: RawEvent, hashes: Iterator[tuple[int, bytes]]) -> int | None:
    """Find where a moved row came from: behind which hash it fits; a mere copy came from nowhere.

    It fits behind the row before its old place or, when neighbours were swapped, behind itself.
    """
    found = None
    for seq, stored in hashes:
        if stored == row[7] and seq != row[0]:
            return None
        for place in (seq + 1, seq):
            if place != row[0] and _link(ledger, stored, place, row) == row[7]:
                found = place
    return found


def _link(ledger: Ledger, previous: bytes, seq: int, row: RawEvent) -> bytes:
    fields = (previous, b"%d" % seq, row[1], b"%d" % row[2], row[3], row[4], row[6])
    return hmac.digest(ledger.key, b"\n".join(fields), "sha256").hex().encode()


def _from(org: str) -> dict[str, Any]:
    return {"org": org, "first": -(2**62)}


@contextmanager
def stream(
    ledger: Ledger, connection: Connection, statement: str, values: dict[str, Any]
) -> Generator[Iterator[Any]]:
    """Yield raw rows one by one, texts as bytes, without ever holding all of them."""
    ledger.now(connection)
    raw: Any = connection
    native = ledger.dialect.native(statement)
    if ledger.dialect.name == "postgresql":
        with raw.cursor(name="roundsman_stream") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(native, values)
            yield (tuple(_as_bytes(value) for value in row) for row in cursor)
        return
    # Bytes need no decoding, and a changed byte may have left something that is no text.
    before, raw.text_factory = raw.text_factory, bytes
    cursor = raw.cursor()
    try:
        yield iter(cursor.execute(native, values))
    finally:
        cursor.close()
        raw.text_factory = before


def _as_bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def main() -> None:
    """Check a chain in a process of its own: question on standard input, report on output."""
    asked = json.load(sys.stdin)
    ledger = open_raw(asked["url"], Path(), None)
    ledger.key = bytes.fromhex(asked["key"])
    anchors = [Anchor(*anchor) for anchor in asked["anchors"]]
    json.dump(check_chain(ledger, asked["org"], anchors)._asdict(), sys.stdout)


if __name__ == "__main__":
    main()
