"""The replay of a run: complete, and in the order in which it happened."""

from __future__ import annotations

import pytest

from roundsman.rules.rca.records import Step
from roundsman.rules.rca.timeline import latency_ms_of, merge_timeline
from tests.rules.rca.runs import call, guard, run_of, step


def at(second: int) -> str:
    return f"2026-11-25T10:00:{second:02d}Z"


@pytest.mark.covers("B-022", "B-079")
def test_events_stand_in_the_order_of_their_times_whatever_the_order_sent() -> None:
    run = run_of(
        step(2, started_at=at(20)),
        step(1, started_at=at(10)),
        call(1),
        call(2),
        guard(1, "schema_validation", "no", created_at=at(30)),
    )
    events = merge_timeline(run)
    assert [event.event_id for event in events] == ["s1", "c1", "s2", "c2", "g1"]
    assert events[-1].status == "triggered"
    assert events[1].details["result_summary"] == "order 1 was sent on Monday"


def test_without_times_the_order_is_that_of_the_lists() -> None:
    run = run_of(step(2), step(1), call(1), call(2))
    assert [event.event_id for event in merge_timeline(run)] == ["s2", "c2", "s1", "c1"]


def test_what_has_no_time_stays_behind_what_stands_before_it() -> None:
    run = run_of(step(3, started_at=at(30)), step(4), step(1, started_at=at(10)), step(2))
    assert [event.event_id for event in merge_timeline(run)] == ["s1", "s2", "s3", "s4"]


def test_calls_of_no_known_step_and_of_a_run_without_steps_are_not_lost() -> None:
    assert [e.event_id for e in merge_timeline(run_of(step(1), call(9)))] == ["s1", "c9"]
    alone = run_of(call(1), guard(1, "other", "no"))
    assert [e.event_type for e in merge_timeline(alone)] == ["tool_call", "guardrail"]


@pytest.mark.parametrize(
    ("told", "latency"),
    [
        ({"latency_ms": 7}, 7),
        ({"latency_ms": 0, "started_at": at(10), "ended_at": at(12)}, 2_000),
        ({"started_at": at(12), "ended_at": at(10)}, 0),
        ({"started_at": at(12)}, 0),
    ],
)
def test_a_latency_that_is_not_told_comes_from_start_and_end(told: object, latency: float) -> None:
    assert latency_ms_of(Step.model_validate({"step_id": "s", **told})) == latency  # type: ignore[dict-item]
