"""How long it takes to decide stored runs anew, all of it right, and what a permit costs."""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bench.audit import ORG, build
from bench.decided import CHANGED, DAYS, START, Naive, tell_runs, write_permits
from bench.figures import Emitter, Figure, emitter, tell
from bench.lives import measure_lives
from roundsman.policy import load_policy
from roundsman.rules.simulation import FLIPS_KEPT_MAX, Simulation, simulate
from roundsman.store import Ledger, open_ledger
from roundsman.store.decisions import stored_decisions
from roundsman.store.verify import verify

RUNS = 10_000
GOAL_SIMULATE_SECONDS = 60
PERMITS = 300
GOAL_PERMIT_RATIO = 2

DECIDED = (
    "SELECT seq, at, payload FROM events WHERE kind IN ('action_proposed', 'action_considered')"
    " ORDER BY seq"
)


class Outcome(NamedTuple):
    """How decisions fall out: how many by `old->new`, and each flip with its rules."""

    counts: dict[str, int]
    flips: list[tuple[int, str, str, str]]


def main() -> int:
    """Measure and print every figure."""
    out = emitter(__doc__ or "", runs=RUNS, permits=PERMITS)
    measure_simulation(out)
    measure_permit(out)
    return out.exit_code()


def measure_simulation(out: Emitter) -> None:
    """Fill a ledger, decide all of it anew, and compare with what a naive reading says."""
    with tempfile.TemporaryDirectory(prefix="roundsman-actions-") as folder:
        home = Path(folder)
        ledger = open_ledger(f"sqlite:///{home}/ledger.db", home / "chain.key", home / "anchors")
        fill(ledger, out.sizes["runs"])
        changed = home / "changed.yaml"
        changed.write_text(CHANGED)
        floor, expected = ask_oracle(str(ledger.url.database))
        start = time.perf_counter()
        found = try_policy(ledger, changed)
        seconds = time.perf_counter() - start
        ledger.close()
    tell(f"{found.compared} decisions: {found.counts}")
    out.emit(Figure("simulate_10k_s", seconds, "s", floor, GOAL_SIMULATE_SECONDS))
    out.emit(Figure("simulate_equal", share_equal(found, expected), "share", None, 1, "higher"))


def measure_permit(out: Emitter) -> None:
    """Store, claim and settle permits, in turns with the bare statements for the same rows."""
    with tempfile.TemporaryDirectory(prefix="roundsman-permits-") as folder:
        ours, bare = measure_lives(Path(folder), out.sizes["permits"])
    tell(f"a permit's life {ours:.2f} ms, bare statements {bare:.2f} ms")
    out.emit(Figure("permit", ours / bare, "ratio", 1.0, GOAL_PERMIT_RATIO))


def fill(ledger: Ledger, runs: int) -> None:
    """Write the runs, and see that the ledger is as whole as one that they wrote themselves."""
    tell(f"building {runs} runs")
    told = tell_runs(runs)
    build(ledger, len(told.events), told.events)
    write_permits(str(ledger.url.database), told.permits)
    checked = verify(ledger, ORG)
    if not checked.ok:
        raise SystemExit(f"the bench's own ledger is not whole: {checked.first_bad}")


def try_policy(ledger: Ledger, changed: Path) -> Simulation:
    """What `roundsman policy simulate` does."""
    until = START + timedelta(days=DAYS + 1)
    stored = stored_decisions(ledger, ORG, START, until)
    return simulate(load_policy(changed), stored, FLIPS_KEPT_MAX)


def ask_oracle(path: str) -> tuple[float, Outcome]:
    """The seconds that it takes to read and parse the same events, and what a naive reading says.

    It reads the file of the ledger itself.
    """
    start = time.perf_counter()
    connection = sqlite3.connect(path)
    rows = [(seq, at, json.loads(payload)) for seq, at, payload in connection.execute(DECIDED)]
    connection.close()
    seconds = time.perf_counter() - start
    naive = Naive(CHANGED)
    outcome = Outcome(Counter(), [])
    for seq, at, told in rows:
        old = told["decision"]["verdict"]
        new, rule = naive.says(told["request"], datetime.fromisoformat(at))
        outcome.counts[f"{old}->{new}"] += 1
        if new != old:
            outcome.flips.append((seq, old, new, rule))
    return seconds, outcome


def share_equal(found: Simulation, expected: Outcome) -> float:
    """The share of decisions upon which both agree, 0 where they do not count the same."""
    flips = [(one.seq, one.old, one.new, one.new_rule) for one in found.flips]
    wanted = expected.flips[:FLIPS_KEPT_MAX]
    counted_alike = found.counts == dict(expected.counts) and len(flips) == len(wanted)
    if not counted_alike or found.flips_total != len(expected.flips):
        return 0.0
    wrong = sum(one != other for one, other in zip(flips, wanted, strict=True))
    return 1 - wrong / found.compared


if __name__ == "__main__":
    sys.exit(main())
