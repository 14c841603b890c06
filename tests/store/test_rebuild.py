"""Whatever runs do, the tables that people query follow from their events alone."""

from __future__ import annotations

import random

import pytest

from roundsman.store import Ledger, runs
from roundsman.store.records import Note, StepBegin, StepEnd, StepSkip, Verified
from roundsman.store.verify import verify
from tests.store.words import ORG, ask, opening, queue, rows, step


@pytest.mark.parametrize("seed", range(6))
def test_whatever_runs_do_their_tables_follow_from_their_events(ledger: Ledger, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(12):
        live_a_random_life(ledger, chance)
    result = verify(ledger, ORG)
    assert result.problems == []
    assert_gapless(ledger, result)


def assert_gapless(ledger: Ledger, result: Verified) -> None:
    seqs = [row[0] for row in rows(ledger, "SELECT seq FROM events ORDER BY seq")]
    assert seqs == list(range(1, result.events + 1))


def live_a_random_life(ledger: Ledger, chance: random.Random) -> None:
    if chance.random() < 0.15:
        runs.record_refused(ledger, ORG, ask(user_email="a"), {"type": "x", "message": "é\x00"})
        return
    run_id, attempt = queue(ledger, user_email=chance.choice([None, "b"])), 1
    if chance.random() < 0.15:
        runs.request_cancel(ledger, ORG, run_id, "ada")
        return
    runs.open_attempt(ledger, ORG, run_id, opening(round="r"), runs.this_holder())
    for index in range(chance.randrange(6)):
        attempt = do_something(ledger, chance, (run_id, attempt, index))
    if chance.random() < 0.8:
        status = chance.choice(["success", "failed", "crashed", "cancelled", "timed_out"])
        error = None if status == "success" else {"type": "x", "message": "\ud800 no"}
        closing = runs.Closing(status=status, error=error, budget_status={"exceeded": False})
        runs.close_run(ledger, ORG, run_id, attempt, closing)


def do_something(ledger: Ledger, chance: random.Random, where: tuple[str, int, int]) -> int:
    run_id, attempt, index = where
    life = chance.randrange(6)
    key = (ledger, ORG, run_id, attempt)
    if life == 0:
        runs.skip_step(*key, StepSkip(index=index, name="s", reason="no need"))
    elif life == 1:
        runs.begin_step(*key, StepBegin(index=index, name="left"))
    elif life == 2:
        runs.begin_step(*key, StepBegin(index=index, name="again"))
        note = Note(kind="step_retried", payload={"index": index, "tries": 2})
        runs.note(*key, note)
        error = {"type": "Unready", "message": "no", "deep": {"b": 1, "a": [1.5, None]}}
        runs.end_step(*key, StepEnd(index=index, status="failed", error=error, seconds=0.1))
    elif life == 3:
        for kind in ("artifact_intended", "artifact_written")[: chance.randrange(1, 3)]:
            runs.note(*key, Note(kind=kind, payload={"path": f"{index}.md"}))
        runs.note(*key, Note(kind="gap", payload={"at": "2026", "status": "x"}))
    elif life == 4:
        return runs.open_attempt(ledger, ORG, run_id, opening(), runs.this_holder())
    else:
        step(ledger, run_id, index, attempt=attempt)
        runs.spend_operation(ledger, ORG, run_id, attempt)
    return attempt
