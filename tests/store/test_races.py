"""64 processes race for 1,000 actions: each has one winner, and no budget is overshot."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import pytest

from roundsman.errors import Denied, Mistake, Unready
from roundsman.store import Ledger, actions, approvals, open_ledger, runs
from roundsman.store.approvals import Review, Wanted
from roundsman.store.events import read_events
from roundsman.store.records import ActionRow, Claim, Settlement
from roundsman.store.verify import verify
from tests.store.permits import ledger_now, live, proposal
from tests.store.words import ORG, Home, eventually, finish

pytestmark = pytest.mark.engine

PROCESSES, ACTIONS = 64, 1_000
ROLES = ("claim", "approve", "deny", "expire")
# How many processes of each role want the same action.
RIVALS = 2
# Some targets bear only so many claims in an hour, though more are allowed.
CROWDED, PER_TARGET, PER_WINDOW = 20, 10, 4
# The last actions run out during the race; the very last are answered by nobody.
SHORT, UNANSWERED = 250, 50
SHORT_MINUTES = (0.02, 0.15)
LOOK_SECONDS = 0.1
OPS_LIMIT, SPENDS_EACH = 500, 12
ANSWER_SECONDS = 300

# How often somebody had his way: (what he did, to which action).
Tally = Counter[tuple[str, str]]


class Place(NamedTuple):
    """Where the race is, over which actions and payloads, until when some run out, and which
    run's purse is spent."""

    home: Home
    wanted: list[tuple[str, str]]
    until: datetime
    purse: str


def _propose(ledger: Ledger, run: str) -> list[ActionRow]:
    """Permits for crowded targets, permits that wait, and some that soon run out."""
    chance = random.Random(20)
    limits = {"per_window": PER_WINDOW, "window_seconds": 3600}
    rows: list[ActionRow] = []
    for number in range(ACTIONS):
        is_crowded = number < CROWDED * PER_TARGET
        wish = proposal(
            target=f"crowded/{number % CROWDED}" if is_crowded else f"one/{number}",
            occasion={"n": number},
            lost_answer="once",
            limits=limits if is_crowded else {},
            verdict="allow" if is_crowded else "ask",
        )
        if number >= ACTIONS - SHORT:
            # Shorter than a policy may say: the race is not to last for minutes.
            wish = wish.model_copy(update={"expires_minutes": chance.uniform(*SHORT_MINUTES)})
        rows.append(actions.propose(ledger, ORG, run, 1, wish))
    return rows


def _had_its_way(act: Callable[[], object]) -> bool:
    """Whether it was not refused; a ledger that is busy is asked again."""
    while True:
        try:
            act()
        except (Denied, Mistake):
            return False
        except Unready:
            continue
        return True


def _claim(ledger: Ledger, run: str, key: str, sha: str) -> bool:
    """Claim an action and settle it at once, where that is allowed."""
    wanted = Claim(action_id=key, payload_sha256=sha)
    if not _had_its_way(lambda: actions.claim(ledger, ORG, run, 1, wanted)):
        return False
    told = Settlement(action_id=key, state="done")
    assert _had_its_way(lambda: actions.settle(ledger, ORG, run, 1, told))
    return True


def _play(ledger: Ledger, role: str, rank: int, place: Place) -> Tally:
    """Do to one's share of the actions, in the order of all, what one's role is."""
    if role == "expire":
        while datetime.fromisoformat(ledger_now(ledger)) < place.until:
            approvals.expire_due(ledger)
            time.sleep(LOOK_SECONDS)
        return Counter()
    seats = PROCESSES // len(ROLES)
    wanted = [one for i, one in enumerate(place.wanted) if (rank - i) % seats < RIVALS]
    if role == "claim":
        run = live(ledger)
        won = [(role, key) for key, sha in wanted if _claim(ledger, run, key, sha)]
        finish(ledger, run)
        return Counter(won)
    answer = approvals.approve if role == "approve" else approvals.deny
    review = Review(f"{role}-{rank}@example.com")
    answered = {key for key, _ in place.wanted[:-UNANSWERED]}
    return Counter(
        (role, key)
        for key, _ in wanted
        if key in answered and _had_its_way(partial(answer, ledger, ORG, key, review))
    )


def _race(number: int, place: Place, start: Any, told: Any) -> None:
    """One process: as soon as all are ready it plays its role, and spends."""
    ledger = open_ledger(place.home.url, place.home.key, place.home.anchors)
    start.wait()
    won = _play(ledger, ROLES[number % len(ROLES)], number // len(ROLES), place)
    spends = [runs.spend_operation(ledger, ORG, place.purse, 1) for _ in range(SPENDS_EACH)]
    ledger.close()
    told.put((won, sum(spend.ok for spend in spends)))


def _let_them_race(place: Place) -> tuple[Tally, int]:
    """What all of them say that they won, and spent."""
    context = multiprocessing.get_context("forkserver")
    # Imported once, so that 64 processes start in a second or two.
    context.set_forkserver_preload([__name__])
    start, told = context.Barrier(PROCESSES), context.Queue()
    # One that fails leaves the others at the start, who must not outlive the test.
    racers = [
        context.Process(target=_race, args=(number, place, start, told), daemon=True)
        for number in range(PROCESSES)
    ]
    for racer in racers:
        racer.start()
    answers = [told.get(timeout=ANSWER_SECONDS) for _ in racers]
    for racer in racers:
        racer.join()
    assert {racer.exitcode for racer in racers} == {0}
    won: Tally = Counter()
    for part, _ in answers:
        won.update(part)
    return won, sum(spent for _, spent in answers)


def _events(ledger: Ledger) -> dict[str, Counter[str]]:
    """How often each action was told of, by kind."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    after = 0
    while page := read_events(ledger, ORG, after, limit=10_000):
        for event in page:
            if event.kind.startswith("action_") and event.payload:
                told[event.payload["key"]][event.kind.removeprefix("action_")] += 1
        after = page[-1].seq
    return told


def _fate(row: ActionRow, answers: set[str]) -> set[str]:
    """What must have happened to an action that has come to this state."""
    ends = {
        "done": {"claimed", "settled"},
        "denied": {"denied"},
        "expired": {"expired"},
        "allowed": set[str](),
    }
    return {"proposed"} | ends[row.state] | ({"approved"} if "approve" in answers else set())


@pytest.mark.covers("A-072", "A-078")
def test_every_action_has_one_winner_and_no_budget_is_overshot(home: Home, ledger: Ledger) -> None:
    run = live(ledger, budget_ops=OPS_LIMIT, budget_mode="enforce")
    proposed = _propose(ledger, run)
    wanted = [(row.action_id, row.payload_sha256) for row in proposed]

    until = max(row.expires_at for row in proposed[-SHORT:] if row.expires_at)

    won, spent = _let_them_race(Place(home, wanted, until, run))

    eventually(lambda: datetime.fromisoformat(ledger_now(ledger)) > until)
    approvals.expire_due(ledger)
    # What was turned away because its target was busy; a window bears no more than it may.
    won.update(
        ("claim", key)
        for key, sha in wanted[: CROWDED * PER_TARGET]
        if _claim(ledger, run, key, sha)
    )
    rows, told = approvals.list_actions(ledger, ORG, Wanted(limit=ACTIONS)), _events(ledger)
    assert len(rows) == ACTIONS
    assert set(won.values()) == {1}
    for row in rows:
        answers = {role for role in ("approve", "deny", "claim") if won[role, row.action_id]}
        assert told[row.action_id] == Counter(_fate(row, answers)), row
        assert ("claim" in answers, "deny" in answers) == (
            row.state == "done",
            row.state == "denied",
        )
    states = Counter(row.state for row in rows)
    assert states["expired"] >= UNANSWERED
    assert min(states["done"], states["denied"]) > 0
    begun = Counter(row.target for row in rows if row.claimed_at and row.limits)
    assert set(begun.values()) == {PER_WINDOW}
    assert spent == OPS_LIMIT
    assert verify(ledger, ORG).ok
