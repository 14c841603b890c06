"""Whether an org's ledger can be trusted: its chain, its anchors, its tables."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from roundsman.errors import Mistake, Unready
from roundsman.store.chain import Anchor, read_anchors
from roundsman.store.chaincheck import ChainReport, check_chain
from roundsman.store.engine import Ledger
from roundsman.store.rebuild import RebuildReport, check_projections
from roundsman.store.records import Head, Verified

# Below this the second process costs more than it saves.
EVENTS_FOR_TWO_PROCESSES = 100_000
CHAIN_SECONDS_MAX = 3600
# A process killed between its commit and its anchor leaves the first end of all unanchored.
UNANCHORED_ENDS_MAX = 1

_HEAD = "SELECT seq FROM chain_heads WHERE org_id = :org"


def verify(ledger: Ledger, org: str, anchor_path: Path | None = None) -> Verified:
    """Check an org's events against key and anchors, and every projection against the events.

    Raises Unready or Mistake where the store or the anchor file cannot be read.
    """
    path = anchor_path or ledger.anchor_path
    anchors, spoilt = _anchors(path, org, is_named=anchor_path not in (None, ledger.anchor_path))
    with _chain(ledger, org, anchors) as chain_report:
        rebuilt = check_projections(ledger, org)
        chain = chain_report()
    if path is not None and not path.exists() and rebuilt.ended > UNANCHORED_ENDS_MAX:
        spoilt.append(
            f"anchor file '{path}' is missing, though runs of org '{org}' have ended"
            f" ({rebuilt.ended}): a tail that was cut off cannot be seen"
        )
    problems = [*chain.problems, *spoilt, *rebuilt.problems]
    more = chain.more + rebuilt.more
    if more:
        problems.append(f"and {more} more")
    head = Head(chain.seq, chain.hash, chain.at) if chain.events else None
    return Verified(
        ok=not problems,
        org=org,
        events=chain.events,
        head=head,
        first_bad=problems[0] if problems else None,
        problems=problems,
        cannot_see=_cannot_see(chain, rebuilt, anchors),
        erased=rebuilt.erased,
    )


def _anchors(path: Path | None, org: str, is_named: bool) -> tuple[list[Anchor], list[str]]:
    if path is None or not path.exists():
        if is_named:
            raise Mistake(f"anchor file '{path}' does not exist", "name the file of the anchors")
        return [], []
    anchors, broken = read_anchors(path, org)
    lines = [f"anchor file '{path}', line {number}: is not an anchor" for number in broken]
    return anchors, lines[:20]


@contextmanager
def _chain(ledger: Ledger, org: str, anchors: list[Anchor]) -> Generator[Callable[[], ChainReport]]:
    """Yield what returns the chain's report; a long chain is walked beside us, by a child."""
    with ledger.reading() as connection:
        length = ledger.execute(connection, _HEAD, {"org": org}).scalar() or 0
    if length < EVENTS_FOR_TWO_PROCESSES:
        report = check_chain(ledger, org, anchors)
        yield lambda: report
        return
    child = subprocess.Popen(
        [sys.executable, "-m", "roundsman.store.chaincheck"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # Key and password go through the pipe: arguments can be seen by everybody.
        asked = {
            "url": ledger.url.render_as_string(hide_password=False),
            "key": ledger.key.hex(),
            "org": org,
            "anchors": anchors,
        }
        assert child.stdin is not None
        child.stdin.write(json.dumps(asked))
        child.stdin.close()
        child.stdin = None
        yield lambda: _answer(child)
    finally:
        child.kill()
        child.wait()


def _answer(child: subprocess.Popen[str]) -> ChainReport:
    out, err = child.communicate(timeout=CHAIN_SECONDS_MAX)
    if child.returncode != 0:
        last = err.strip().splitlines()[-1:] or ["no reason given"]
        raise Unready(f"the chain could not be checked: {last[0]}", "try again")
    return ChainReport(**json.loads(out))


def _cannot_see(chain: ChainReport, rebuilt: RebuildReport, anchors: list[Anchor]) -> list[str]:
    blind = [
        "run_leases and file_leases are working state outside the chain",
        "the content of artifact files; their hashes are in the events",
        "who holds the chain's key and can write the anchor file can rewrite everything",
    ]
    if not anchors:
        blind.append("a tail that was cut off together with the head row: there are no anchors")
    else:
        newest = max(anchor.seq for anchor in anchors)
        if newest < chain.seq:
            blind.append(f"a cut of events {newest + 1} to {chain.seq}: they are not anchored yet")
    if rebuilt.erased:
        blind.append(
            f"{rebuilt.erased} erased payloads: their hashes still chain, but the rows of their"
            " runs and the run counters cannot be compared"
        )
    return blind
