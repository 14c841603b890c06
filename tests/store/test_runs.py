"""A run goes through the ledger once, and what it left behind tells the truth."""

from __future__ import annotations

import uuid

import pytest

from roundsman.errors import Cancelled, Fenced, Mistake
from roundsman.store import Ledger, runs
from roundsman.store.events import read_events
from roundsman.store.records import AskedBy, Closing, Holder, Note, StepBegin, StepEnd, StepSkip
from tests.store.words import ORG, ask, begin, change, finish, opening, queue, rows, step, whole_run

ELSEWHERE = Holder("another-machine/boot/1", 4711, "99")


def kinds(ledger: Ledger, run_id: str) -> list[str]:
    return [event.kind for event in read_events(ledger, ORG, run_id=run_id)]


@pytest.mark.covers("A-003", "A-011", "A-035")
def test_a_run_leaves_its_plan_its_results_its_duration_and_every_step(ledger: Ledger) -> None:
    run_id = whole_run(ledger, user_email="ada@example.org", round="orders")
    row = runs.get_run(ledger, ORG, run_id)
    assert (row.status, row.verdict, row.attempt) == ("success", "healthy", 1)
    assert row.plan == ["query", "judge"]
    assert row.params == {"days": 7}
    assert row.artifacts == {"n": 1}
    assert row.systems == {"search/local": "abc"}
    assert row.asked_by == AskedBy(kind="cli", name="ada")
    assert row.created_at == row.queued_at
    assert row.queued_at <= row.started_at <= row.completed_at
    assert row.duration_seconds == (row.completed_at - row.started_at).total_seconds()
    assert row.user_email == "ada@example.org"
    assert [(s.index, s.status, s.seconds) for s in runs.steps(ledger, ORG, run_id)] == [
        (0, "success", 0.25),
        (1, "success", 0.25),
    ]
    assert kinds(ledger, run_id) == [
        "run_queued",
        "run_started",
        "step_started",
        "step_finished",
        "step_started",
        "step_finished",
        "run_finished",
    ]


def test_the_row_is_numbered_by_its_first_event(ledger: Ledger) -> None:
    first, second = whole_run(ledger, 1), queue(ledger)
    for run_id in (first, second):
        row = runs.get_run(ledger, ORG, run_id)
        assert row.id == read_events(ledger, ORG, run_id=run_id)[0].seq


def test_a_refused_run_is_told_with_its_reason_and_has_no_lease(ledger: Ledger) -> None:
    error = {"type": "ValidationError", "message": "days: must be positive"}
    run_id = runs.record_refused(ledger, ORG, ask(params={"days": -1}), error)
    row = runs.get_run(ledger, ORG, run_id)
    assert (row.status, row.error_message, row.params) == (
        "refused",
        error["message"],
        {"days": -1},
    )
    assert row.started_at is None
    assert kinds(ledger, run_id) == ["run_refused"]
    assert runs.unsettled(ledger) == []
    with pytest.raises(Mistake, match="closed for good"):
        runs.open_attempt(ledger, ORG, run_id, opening(), runs.this_holder())


def test_a_run_that_prefect_started_is_refused_under_its_own_id(ledger: Ledger) -> None:
    own = str(uuid.uuid4())
    assert runs.record_refused(ledger, ORG, ask(), {"type": "x", "message": "y"}, own) == own


def test_a_queued_run_may_be_refused_and_then_prefect_is_to_be_told(ledger: Ledger) -> None:
    run_id = queue(ledger)
    runs.record_refused(ledger, ORG, ask(), {"type": "x", "message": "y"}, run_id)
    assert runs.get_run(ledger, ORG, run_id).status == "refused"
    assert runs.unsettled(ledger)[0].run_id == run_id


def test_a_run_is_queued_only_once(ledger: Ledger) -> None:
    run_id = queue(ledger)
    with pytest.raises(Mistake, match="in the ledger already"):
        runs.queue_run(ledger, ORG, run_id, ask(), None)
    assert kinds(ledger, run_id) == ["run_queued"]


@pytest.mark.parametrize("run_id", ["", "a b", "x\ny", "é", "-a", "a" * 101])
def test_an_id_that_could_blur_the_hash_is_refused(ledger: Ledger, run_id: str) -> None:
    with pytest.raises(Mistake, match="run id"):
        runs.queue_run(ledger, ORG, run_id, ask(), None)


def test_a_run_that_prefect_started_by_itself_gets_its_row_when_it_opens(ledger: Ledger) -> None:
    run_id = str(uuid.uuid4())
    by_cron = opening(asked_by=AskedBy(kind="schedule"))
    assert runs.open_attempt(ledger, ORG, run_id, by_cron, runs.this_holder()) == 1
    row = runs.get_run(ledger, ORG, run_id)
    assert (row.status, row.queued_at, row.asked_by.kind) == ("running", None, "schedule")


def test_a_door_that_was_slower_than_the_worker_still_says_who_asked(ledger: Ledger) -> None:
    run_id = str(uuid.uuid4())
    by_worker = opening(asked_by=AskedBy(kind="worker"))
    runs.open_attempt(ledger, ORG, run_id, by_worker, runs.this_holder())
    runs.queue_run(ledger, ORG, run_id, ask(user_email="ada@example.org"), None)
    row = runs.get_run(ledger, ORG, run_id)
    assert (row.status, row.attempt) == ("running", 1)
    assert (row.asked_by.name, row.user_email) == ("ada", "ada@example.org")
    assert row.queued_at is not None
    step(ledger, run_id, 0)


def test_a_door_that_comes_after_the_end_changes_nothing(ledger: Ledger) -> None:
    run_id = str(uuid.uuid4())
    runs.open_attempt(ledger, ORG, run_id, opening(), runs.this_holder())
    finish(ledger, run_id)
    runs.queue_run(ledger, ORG, run_id, ask(user_email="late@example.org"), None)
    assert runs.get_run(ledger, ORG, run_id).user_email is None
    assert kinds(ledger, run_id)[-1] == "run_finished"
    runs.mark_settled(ledger, ORG, run_id)
    runs.queue_run(ledger, ORG, run_id, ask(), None)
    assert rows(ledger, "SELECT * FROM run_leases") == []


def test_a_second_attempt_fences_the_first_out_of_every_write(ledger: Ledger) -> None:
    run_id = begin(ledger)
    runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=0, name="query"))
    assert runs.open_attempt(ledger, ORG, run_id, opening(), ELSEWHERE) == 2
    writes = [
        lambda: runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=1, name="judge")),
        lambda: runs.end_step(ledger, ORG, run_id, 1, StepEnd(index=0, status="success")),
        lambda: runs.skip_step(ledger, ORG, run_id, 1, StepSkip(index=1, name="j", reason="r")),
        lambda: runs.note(ledger, ORG, run_id, 1, Note(kind="gap")),
        lambda: runs.spend_operation(ledger, ORG, run_id, 1),
        lambda: runs.renew(ledger, ORG, run_id, 1),
        lambda: runs.close_run(ledger, ORG, run_id, 1, Closing(status="success")),
    ]
    before = len(read_events(ledger, ORG))
    for write in writes:
        with pytest.raises(Fenced, match="attempt 2 has taken over"):
            write()
    assert len(read_events(ledger, ORG)) == before
    assert [(s.attempt, s.status) for s in runs.steps(ledger, ORG, run_id)] == [(1, "crashed")]
    step(ledger, run_id, 0, attempt=2)


def test_a_closed_run_takes_no_further_writes(ledger: Ledger) -> None:
    run_id = whole_run(ledger)
    for write in (
        lambda: runs.note(ledger, ORG, run_id, 1, Note(kind="gap")),
        lambda: runs.renew(ledger, ORG, run_id, 1),
        lambda: runs.close_run(ledger, ORG, run_id, 1, Closing(status="failed")),
        lambda: runs.spend_operation(ledger, ORG, run_id, 1),
    ):
        with pytest.raises(Fenced, match="the run is closed"):
            write()
    runs.mark_settled(ledger, ORG, run_id)
    with pytest.raises(Fenced, match="the run is closed"):
        runs.note(ledger, ORG, run_id, 1, Note(kind="gap"))
    with pytest.raises(Mistake, match="closed for good"):
        runs.open_attempt(ledger, ORG, run_id, opening(), runs.this_holder())


@pytest.mark.parametrize("status", ["failed", "cancelled", "timed_out", "crashed"])
@pytest.mark.covers("A-024")
def test_a_run_that_ended_badly_keeps_its_error(ledger: Ledger, status: str) -> None:
    run_id = begin(ledger)
    runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=0, name="query"))
    error = {"type": "ProviderError", "message": "no", "step": "query", "traceback": "Tr..."}
    finish(ledger, run_id, status, error=error, verdict=None)
    row = runs.get_run(ledger, ORG, run_id)
    assert (row.status, row.error, row.error_message) == (status, error, "no")
    assert kinds(ledger, run_id)[-1] == "run_failed"
    left = {"cancelled": "cancelled", "timed_out": "timed_out"}.get(status, "crashed")
    assert runs.steps(ledger, ORG, run_id)[0].status == left


def test_cancelling_a_queued_run_closes_it_and_its_child_is_told(ledger: Ledger) -> None:
    run_id = queue(ledger)
    runs.request_cancel(ledger, ORG, run_id, "ada")
    row = runs.get_run(ledger, ORG, run_id)
    assert (row.status, row.error_message) == ("cancelled", "cancelled by ada before it began")
    with pytest.raises(Cancelled):
        runs.open_attempt(ledger, ORG, run_id, opening(), runs.this_holder())


def test_cancelling_a_running_run_is_seen_at_its_next_renewal(ledger: Ledger) -> None:
    run_id = begin(ledger)
    assert runs.renew(ledger, ORG, run_id, 1) is False
    assert runs.is_cancel_requested(ledger, ORG, run_id) is False
    runs.request_cancel(ledger, ORG, run_id, "ada")
    assert runs.renew(ledger, ORG, run_id, 1) is True
    assert runs.is_cancel_requested(ledger, ORG, run_id) is True
    assert runs.spend_operation(ledger, ORG, run_id, 1).cancel_requested
    assert runs.get_run(ledger, ORG, run_id).status == "running"
    finish(ledger, run_id, "cancelled")
    with pytest.raises(Mistake, match="closed already"):
        runs.request_cancel(ledger, ORG, run_id, "ada")


def test_cancelling_an_unknown_run_is_a_mistake(ledger: Ledger) -> None:
    with pytest.raises(Mistake, match="not in the ledger"):
        runs.request_cancel(ledger, ORG, "nobody", "ada")


def test_a_run_that_no_worker_took_can_be_closed_and_a_taken_one_not(ledger: Ledger) -> None:
    waiting = str(uuid.uuid4())
    runs.queue_run(ledger, ORG, waiting, ask(), None)
    taken = begin(ledger)
    error = {"type": "Cancelled", "message": "deleted in Prefect"}
    assert runs.queued_without_holder(ledger) == [(ORG, waiting)]
    assert runs.close_queued(ledger, ORG, waiting, "cancelled", error) is True
    assert runs.close_queued(ledger, ORG, waiting, "cancelled", error) is False
    assert runs.close_queued(ledger, ORG, taken, "cancelled", error) is False
    assert runs.queued_without_holder(ledger) == []
    assert runs.get_run(ledger, ORG, waiting).status == "cancelled"


def test_closed_runs_stay_unsettled_until_prefect_says_the_same(ledger: Ledger) -> None:
    run_id = begin(ledger)
    assert runs.unsettled(ledger) == []
    finish(ledger, run_id, "failed", error={"type": "x", "message": "broke"})
    (left,) = runs.unsettled(ledger)
    assert (left.org_id, left.run_id, left.status) == (ORG, run_id, "failed")
    assert left.error_message == "broke"
    runs.mark_settled(ledger, ORG, run_id)
    assert runs.unsettled(ledger) == []


def test_marking_an_open_run_as_settled_does_not_take_its_lease(ledger: Ledger) -> None:
    run_id = begin(ledger)
    runs.mark_settled(ledger, ORG, run_id)
    step(ledger, run_id, 0)


def test_secrets_reach_neither_events_nor_rows(ledger: Ledger) -> None:
    secret = "hunter2hunter2"
    run_id = begin(ledger, params={"url": f"https://u:{secret}@h/x", "api_key": secret})
    end = StepEnd(index=0, status="failed", error={"message": f"Authorization: Bearer {secret}"})
    runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=0, name="query"))
    runs.end_step(ledger, ORG, run_id, 1, end)
    finish(ledger, run_id, "failed", error={"message": f"password={secret}"})
    for table in ("events", "agent_audit_log", "steps"):
        assert secret not in str(rows(ledger, f"SELECT * FROM {table}"))


def test_text_that_no_database_stores_is_replaced_and_kept(ledger: Ledger) -> None:
    run_id = begin(ledger, params={"a": "x\x00y", "b": "\ud800", "c": float("nan")})
    finish(ledger, run_id, artifacts={"back\\u0000slash": float("inf")})
    row = runs.get_run(ledger, ORG, run_id)
    assert row.params == {"a": "x\ufffdy", "b": "?", "c": None}
    assert row.artifacts == {"back\\u0000slash": "inf"}


def test_results_too_large_for_the_ledger_are_cut_and_said(ledger: Ledger) -> None:
    run_id = begin(ledger)
    finish(ledger, run_id, artifacts={"rows": ["x" * 1000] * 1200})
    assert "exceed 1000000" in runs.get_run(ledger, ORG, run_id).artifacts["cut"]


def test_orgs_have_chains_and_runs_of_their_own(ledger: Ledger) -> None:
    mine, theirs = begin(ledger, "mine"), begin(ledger, "theirs")
    assert [e.seq for e in read_events(ledger, "mine")] == [1, 2]
    assert [e.seq for e in read_events(ledger, "theirs")] == [1, 2]
    with pytest.raises(Mistake, match="not in the ledger"):
        runs.get_run(ledger, "mine", theirs)
    with pytest.raises(Fenced):
        runs.renew(ledger, "theirs", mine, 1)


def test_time_spent_by_dead_attempts_is_counted_to_their_last_sign_of_life(
    ledger: Ledger,
) -> None:
    run_id = begin(ledger)
    assert runs.active_ms(ledger, ORG, run_id) == 0
    opened = "2026-01-01T00:00:00.000000Z"
    change(
        ledger,
        f"UPDATE run_leases SET opened_at = '{opened}', seen_at = '2026-01-01T00:00:12.500000Z'",
        f"UPDATE events SET at = '{opened}'",
    )
    runs.open_attempt(ledger, ORG, run_id, opening(), runs.this_holder())
    assert runs.active_ms(ledger, ORG, run_id) == 12_500


def test_the_newest_event_of_a_dead_attempt_is_a_sign_of_life_too(ledger: Ledger) -> None:
    run_id = begin(ledger)
    step(ledger, run_id, 0)
    change(
        ledger,
        "UPDATE run_leases SET opened_at = '2026-01-01T00:00:00.000000Z',"
        " seen_at = '2026-01-01T00:00:00.000000Z'",
        "UPDATE events SET at = '2026-01-01T00:00:03.500000Z' WHERE kind = 'step_finished'",
        "UPDATE events SET at = '2026-01-01T00:00:00.000000Z' WHERE kind <> 'step_finished'",
    )
    runs.request_cancel(ledger, ORG, run_id, "ada")
    runs.open_attempt(ledger, ORG, run_id, opening(), runs.this_holder())
    assert runs.active_ms(ledger, ORG, run_id) == 3_500
