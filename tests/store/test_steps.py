"""What a run writes while it works is committed before it goes on."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from roundsman.errors import Mistake
from roundsman.store import Ledger, runs
from roundsman.store.events import read_events
from roundsman.store.history import artifact_rows
from roundsman.store.records import Note, StepBegin, StepEnd, StepSkip
from tests.store.words import ORG, begin, step

FILE = {"path": "report.md", "bytes": 12, "sha256": "ab" * 32}


def test_a_begun_step_is_running_until_its_end_is_told(ledger: Ledger) -> None:
    run_id = begin(ledger)
    runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=0, name="query_es_daily"))
    (running,) = runs.steps(ledger, ORG, run_id)
    assert (running.status, running.name, running.tries) == ("running", "query_es_daily", 1)
    error = {"type": "Refused", "message": "403"}
    end = StepEnd(index=0, status="failed", error=error, seconds=1.5)
    runs.end_step(ledger, ORG, run_id, 1, end)
    (ended,) = runs.steps(ledger, ORG, run_id)
    assert (ended.status, ended.error, ended.seconds) == ("failed", error, 1.5)
    assert running.began_at == ended.began_at
    assert ended.began_at <= ended.ended_at
    assert read_events(ledger, ORG)[-1].kind == "step_failed"


def test_a_step_may_say_itself_when_its_body_began(ledger: Ledger) -> None:
    run_id = begin(ledger)
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=0, name="q", at=at))
    assert runs.steps(ledger, ORG, run_id)[0].began_at == at


def test_a_step_is_begun_once_and_ended_once(ledger: Ledger) -> None:
    run_id = begin(ledger)
    step(ledger, run_id, 0)
    with pytest.raises(Mistake, match="begun twice"):
        runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=0, name="q"))
    with pytest.raises(Mistake, match="not running"):
        runs.end_step(ledger, ORG, run_id, 1, StepEnd(index=0, status="success"))
    with pytest.raises(Mistake, match="not running"):
        runs.end_step(ledger, ORG, run_id, 1, StepEnd(index=7, status="success"))
    assert len(read_events(ledger, ORG)) == 4


def test_a_skipped_step_keeps_its_reason(ledger: Ledger) -> None:
    run_id = begin(ledger)
    skip = StepSkip(index=5, name="auto_remediate", reason="dry run")
    runs.skip_step(ledger, ORG, run_id, 1, skip)
    (row,) = runs.steps(ledger, ORG, run_id)
    assert (row.status, row.tries, row.error["message"]) == ("skipped", 0, "dry run")


def test_a_retry_raises_the_count_of_tries(ledger: Ledger) -> None:
    run_id = begin(ledger)
    runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=0, name="q"))
    note = Note(kind="step_retried", payload={"index": 0, "tries": 2, "seconds": 1.1})
    runs.note(ledger, ORG, run_id, 1, note)
    assert runs.steps(ledger, ORG, run_id)[0].tries == 2


def test_a_file_is_intended_first_and_written_then(ledger: Ledger) -> None:
    run_id = begin(ledger)
    runs.note(ledger, ORG, run_id, 1, Note(kind="artifact_intended", payload=FILE))
    (intended,) = artifact_rows(ledger, ORG, run_id)
    assert (intended.state, intended.written_at) == ("intended", None)
    runs.note(ledger, ORG, run_id, 1, Note(kind="artifact_written", payload=FILE))
    (written,) = artifact_rows(ledger, ORG, run_id)
    assert (written.state, written.bytes, written.sha256) == ("written", 12, FILE["sha256"])
    assert written.intended_at <= written.written_at


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("run_finished", {}, "not noted; known: artifact_intended, "),
        ("invented", {}, "not noted"),
        ("step_retried", {"index": 0}, "needs tries"),
        ("artifact_written", {}, "needs path"),
        ("artifact_written", FILE, "follows nothing that was begun"),
        ("gap", {"x": "y" * 2_000_001}, "write large results as artifacts"),
    ],
)
def test_a_note_that_makes_no_sense_is_refused_whole(
    ledger: Ledger, kind: str, payload: dict[str, object], said: str
) -> None:
    run_id = begin(ledger)
    with pytest.raises(Mistake, match=said):
        runs.note(ledger, ORG, run_id, 1, Note(kind=kind, payload=payload))
    assert len(read_events(ledger, ORG)) == 2


def test_a_step_costs_little_more_than_its_two_commits(ledger: Ledger) -> None:
    run_id = begin(ledger)
    step(ledger, run_id, 0)
    times = []
    for index in range(1, 60):
        start = time.perf_counter()
        step(ledger, run_id, index)
        times.append(time.perf_counter() - start)
    # A generous multiple of what is measured on a quiet machine: 1 and 2.6 ms.
    assert sorted(times)[len(times) // 2] < 0.02
