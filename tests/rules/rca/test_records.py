"""What telemetry is accepted: as little as real senders tell, and no more than can be held."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from roundsman.rules.rca.records import STEPS_MAX, TEXT_CHARACTERS_MAX, AgentRun
from tests.rules.rca.runs import call, run_of, step


@pytest.mark.covers("B-013", "B-019")
def test_nulls_and_empty_lists_are_accepted_everywhere() -> None:
    nothing = {
        name: None
        for name in AgentRun.model_fields
        if name not in ("run_id", "status", "agent_name")
    }
    run = AgentRun.model_validate({"run_id": "r", "status": "failure", **nothing})
    assert (run.error_type, run.trace_id, run.steps, run.tool_calls) == ("", "", (), ())
    assert run.cost.total_cost_usd is None
    assert run.started_at is None


@pytest.mark.covers("B-010", "B-014", "B-015", "B-016", "B-018")
def test_the_fields_of_the_contract_are_kept_as_sent() -> None:
    sent = {
        "run_id": "r-1",
        "agent_name": "shop",
        "agent_version": "1.2.0",
        "model": "m",
        "environment": "prod",
        "started_at": "2026-11-25T10:00:00Z",
        "ended_at": "2026-11-25T10:00:08Z",
        "status": "failure",
        "error_type": "ToolError",
        "error_message": "no",
        "trace_id": "t-1",
        "correlation_ids": ["a", "b"],
        "steps": [step(1, latency_ms=12, retries=1, status="failure")],
        "tool_calls": [call(1, args_hash="ab", status_code=429, retries=2, latency_ms=3)],
        "guardrail_events": [{"event_id": "g", "type": "schema_validation", "message": "m"}],
        "cost": {"tokens_prompt": 10, "tokens_completion": 5, "total_cost_usd": 0.01},
        "something_new": 1,
    }
    run = AgentRun.model_validate(sent)
    told = run.model_dump(mode="json")
    assert {name: told[name] for name in ("run_id", "trace_id", "environment", "cost")} == {
        name: sent[name] for name in ("run_id", "trace_id", "environment", "cost")
    }
    assert told["correlation_ids"] == ["a", "b"]
    assert (told["tool_calls"][0]["args_hash"], told["tool_calls"][0]["status_code"]) == ("ab", 429)
    assert "something_new" not in told


def test_times_without_a_zone_are_utc_so_that_all_can_be_compared() -> None:
    run = run_of(step(1, started_at="2026-11-25T10:00:00"), started_at="2026-11-25T11:00:00+01:00")
    assert run.steps[0].started_at == run.started_at == datetime(2026, 11, 25, 10, tzinfo=UTC)


def test_a_text_of_one_mebibyte_is_accepted_and_one_character_more_is_not() -> None:
    assert len(run_of(step(1, "x" * TEXT_CHARACTERS_MAX)).steps[0].output_summary) == 1 << 20
    with pytest.raises(ValidationError, match="output_summary"):
        run_of(step(1, "x" * (TEXT_CHARACTERS_MAX + 1)))


def test_ten_thousand_steps_are_accepted_and_one_more_is_not() -> None:
    steps = [{"step_id": str(n)} for n in range(STEPS_MAX + 1)]
    assert len(AgentRun.model_validate({"run_id": "r", "steps": steps[1:]}).steps) == 10_000
    with pytest.raises(ValidationError, match="steps"):
        AgentRun.model_validate({"run_id": "r", "steps": steps})


def test_the_task_is_what_the_sender_names_or_the_users_first_words() -> None:
    said = step(1, "Where is my order?", kind="user")
    assert run_of(said, metadata={"task": "orders"}).task == "orders"
    assert run_of(step(0), said).task == "Where is my order?"
    assert run_of(step(1, input_summary="find it")).task == "find it"
    assert run_of().task == ""
