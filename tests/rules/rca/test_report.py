"""How an analysis is told, on its page and in its ticket."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from roundsman.rules.rca.actions import ActionItem, ActionType, Priority, action_items
from roundsman.rules.rca.analysis import analyze_run
from roundsman.rules.rca.records import AgentRun
from roundsman.rules.rca.report import Report, build_report, prediction_of, report_bytes
from roundsman.rules.rca.signs import Category
from tests.rules.rca.runs import call, insufficient, run_of, step, sufficient


def told(run: AgentRun) -> Report:
    return build_report(run, analyze_run(run))


def titles(items: tuple[ActionItem, ...]) -> list[tuple[str, str, str]]:
    return [(item.title, item.type, item.priority) for item in items]


@pytest.mark.covers("B-026", "B-027", "B-028", "B-029", "B-030", "B-034", "B-070", "B-090")
def test_the_first_workflow_is_told_as_the_contract_says() -> None:
    report = told(sufficient())
    assert report.category == "tool_schema_mismatch"
    assert not report.insufficient_evidence
    assert report.insufficient_reason is None
    call_001, guard_001 = report.evidence_index
    assert call_001.model_dump() == {
        "evidence_id": "ev_tool_call-001",
        "kind": "tool_call",
        "ref_id": "call-001",
        "title": "Failed tool call: order_lookup_api",
        "snippet": "Missing required field: 'buyer_id' in the request body",
        "attributes": {"error_class": "ValidationError", "status_code": 400},
    }
    assert (guard_001.evidence_id, guard_001.kind) == ("ev_guard_guard-001", "guardrail")
    hypothesis = report.hypotheses[0]
    assert hypothesis.evidence_ids == ("ev_tool_call-001", "ev_guard_guard-001")
    assert hypothesis.confidence == "high"
    assert hypothesis.verification_steps[:2] == (
        "Review tool call logs for detailed error traces",
        "Check external service status and API documentation",
    )


@pytest.mark.covers("B-031", "B-032", "B-071", "B-045")
def test_the_second_workflow_is_told_as_the_contract_says() -> None:
    report = told(insufficient())
    assert (report.category, report.insufficient_evidence) == ("unknown", True)
    assert (report.evidence_index, report.hypotheses) == ((), ())
    assert titles(report.action_items) == [
        ("Enable detailed tracing", "monitoring", "high"),
        ("Add structured error codes", "code_change", "medium"),
    ]
    assert report.missing_telemetry


@pytest.mark.covers("B-031", "B-088", "B-089")
def test_every_category_has_action_items_of_its_own() -> None:
    schema = titles(action_items("tool_schema_mismatch", False))
    assert schema[0] == ("Update tool schema validation", "code_change", "high")
    lists = [action_items(category, False) for category in get_args(Category)]
    assert len({items[0].title for items in lists}) == len(get_args(Category))
    used = [item for items in lists for item in items] + list(action_items("unknown", True))
    assert {item.type for item in used} == set(get_args(ActionType))
    assert {item.priority for item in used} == set(get_args(Priority))


def test_the_ticket_names_category_run_and_quotes() -> None:
    fields = told(sufficient()).jira_fields
    assert fields["jira_summary"] == "[AgentOps RCA] Tool Schema Mismatch - Run run-001-"
    assert "- `ev_tool_call-001`: Missing required field" in fields["jira_description_md"]
    poor = told(insufficient()).jira_fields["jira_description_md"]
    assert "would have told: error_type" in poor


@pytest.mark.covers("B-074")
def test_the_snapshot_counts_failures_retries_latency_and_cost() -> None:
    run = run_of(
        step(1, latency_ms=20, retries=1),
        step(2, latency_ms=90),
        call(1, tool_name="mail", status="failure", retries=2),
        cost={"total_cost_usd": 0.02},
    )
    assert told(run).metrics_snapshot == {
        "top_failing_tool": "mail",
        "max_step_latency_ms": 90,
        "total_retries": 3,
        "total_cost_usd": 0.02,
    }


def test_the_same_input_gives_the_same_bytes() -> None:
    once, again = report_bytes(told(sufficient())), report_bytes(told(sufficient()))
    assert once == again
    assert Report.model_validate(json.loads(once)) == told(sufficient())


def test_secrets_are_cut_out_and_counts_times_and_commits_stay() -> None:
    said = (
        "Forbidden for https://ann:hunter2-x@db.example/orders with api_key=9f8e7d6c5b4a3f2e: "
        "1,204,551 rows at 1764064800 of 8c1a8810aa"
    )
    run = run_of(step(1), call(1, status="failure", status_code=403, error_message=said))
    text = report_bytes(told(run)).decode()
    assert "hunter2" not in text
    assert "9f8e7d6c5b4a3f2e" not in text
    assert "1,204,551 rows at 1764064800 of 8c1a8810aa" in text


def test_a_prediction_names_step_agent_category_evidence_and_alarms() -> None:
    looping = [call(n, args_json={}, result_summary="the same again") for n in (1, 2, 3)]
    told = prediction_of(analyze_run(run_of(*[step(n) for n in (1, 2, 3)], *looping)))
    assert (told["step_id"], told["agent"], told["category"]) == ("s1", "clerk", "planner_loop")
    assert told["ranked_steps"][0] == "s1"
    assert told["alarms"] == ["loop"]
    assert told["hypotheses"][0]["evidence"][0] == {"id": "c1", "quote": "the same again"}
    empty = prediction_of(analyze_run(run_of()))
    assert (empty["step_id"], empty["insufficient_evidence"]) == (None, True)
