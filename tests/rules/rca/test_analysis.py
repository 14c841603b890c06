"""The three answers and the two axes, on runs whose cause is known."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from roundsman.rules.rca.analysis import analyze_run
from roundsman.rules.rca.decisions import FailedDecision
from roundsman.rules.rca.records import AgentRun
from roundsman.rules.rca.signs import Category
from tests.rules.rca.runs import (
    DENIED,
    TIMED_OUT,
    call,
    guard,
    insufficient,
    run_of,
    step,
    sufficient,
)

SAME: dict[str, Any] = {"args_json": {"q": "a"}, "result_summary": "still nothing new"}
STEPS = [step(n) for n in (1, 2, 3)]
RECENT = [
    *[{"prompt_version": "v1", "status": "success"}] * 9,
    *[{"prompt_version": "v2", "status": "failure"}] * 5,
]
BY_CATEGORY: dict[Category, AgentRun] = {
    "tool_schema_mismatch": sufficient(),
    "rate_limited": run_of(*STEPS, call(2, status="failure", status_code=429, error_class="Busy")),
    "tool_permission": run_of(*STEPS, call(2, **DENIED)),
    "timeout": run_of(*STEPS, call(2, **TIMED_OUT)),
    "planner_loop": run_of(*STEPS, *[call(n, **SAME) for n in (1, 2, 3)]),
    "retrieval_empty": run_of(*STEPS, call(2, result_summary="No documents matched")),
    "prompt_regression": run_of(
        *STEPS, call(1), metadata={"prompt_version": "v2", "recent_runs": RECENT}
    ),
    "unknown": run_of(*STEPS, call(1)),
}


@pytest.mark.covers("B-070", "B-068")
def test_the_first_workflow_is_a_schema_mismatch_that_call_and_guardrail_show() -> None:
    analysis = analyze_run(sufficient())
    assert (analysis.category, analysis.confidence) == ("tool_schema_mismatch", "high")
    assert not analysis.insufficient_evidence
    hypothesis = analysis.hypotheses[0]
    assert hypothesis.title == "Tool Schema Mismatch Root Cause"
    assert [citation.evidence_id for citation in hypothesis.citations] == [
        "ev_tool_call-001",
        "ev_guard_guard-001",
    ]
    assert analysis.decision == "invalid_invocation"


@pytest.mark.covers("B-071", "B-069", "B-044", "B-045", "B-033")
@pytest.mark.parametrize(
    ("error_type", "error_message"),
    [
        (None, None),
        (None, "Something went wrong"),
        ("UnknownError", "An unexpected error occurred while processing the request."),
        ("InternalServerError", "Agent run failed"),
    ],
)
def test_a_run_that_only_says_that_it_failed_is_not_explained(
    error_type: str | None, error_message: str | None
) -> None:
    analysis = analyze_run(insufficient(error_type=error_type, error_message=error_message))
    assert (analysis.category, analysis.insufficient_evidence) == ("unknown", True)
    assert analysis.hypotheses == ()
    assert analysis.insufficient_reason == (
        "Limited telemetry: no tool failures or specific error details captured"
    )
    assert "error_type and error_message of the run" in analysis.missing


@pytest.mark.covers("B-044")
def test_a_failed_call_that_says_nothing_is_not_enough_and_one_that_does_is() -> None:
    mute = call(1, status="failure", result_summary=None, error_message="error")
    assert analyze_run(run_of(step(1), mute)).insufficient_evidence
    telling = call(1, status="failure", error_message="the order was already returned")
    assert not analyze_run(run_of(step(1), telling)).insufficient_evidence


@pytest.mark.covers("B-042", "B-043")
@pytest.mark.parametrize("category", get_args(Category))
def test_every_category_is_reached_and_cites_what_shows_it(category: Category) -> None:
    analysis = analyze_run(BY_CATEGORY[category])
    assert analysis.category == category
    assert not analysis.insufficient_evidence
    assert analysis.hypotheses[0].citations
    assert analysis.hypotheses[0].verification_steps


@pytest.mark.parametrize(
    ("decision", "run"),
    [
        ("instruction_not_followed", BY_CATEGORY["prompt_regression"]),
        ("invented_information", run_of(step(1, "I assume a price of 20 euros."), call(9))),
        ("invalid_invocation", BY_CATEGORY["tool_schema_mismatch"]),
        (
            "misread_tool_output",
            run_of(step(1, "x"), call(1), step(2, "There are 7 of 8 shirts " * 9)),
        ),
        ("wrong_plan", BY_CATEGORY["planner_loop"]),
        (
            "underspecified_request",
            run_of(step(1, "ok", kind="system"), step(2, "one", kind="user"), call(9)),
        ),
        ("unsupported_intent", run_of(step(1, "I cannot listen to audio files."), call(9))),
        ("guardrail_blocked", run_of(step(1), guard(1, "policy_block", "this may not be sent"))),
        ("system_failure", BY_CATEGORY["timeout"]),
        ("inconclusive", insufficient()),
    ],
)
def test_every_failed_decision_is_reached(decision: FailedDecision, run: AgentRun) -> None:
    assert analyze_run(run).decision == decision


def test_the_failed_decisions_that_are_tested_are_all_that_there_are() -> None:
    assert len(get_args(FailedDecision)) == 10


def test_the_decisive_step_is_the_earliest_not_recovered_and_the_others_contributed() -> None:
    run = run_of(
        *[step(n) for n in range(1, 6)],
        call(1, tool_name="mail", **TIMED_OUT),
        call(2, tool_name="mail"),
        call(3, **DENIED),
        call(4, tool_name="stock", **TIMED_OUT),
    )
    analysis = analyze_run(run)
    assert analysis.category == "tool_permission"
    assert analysis.decisive is not None
    assert analysis.decisive.step_id == analysis.ranked[0].step_id == "s3"
    assert [(one.category, one.step_id) for one in analysis.contributing] == [("timeout", "s1")]


@pytest.mark.parametrize(
    ("run", "how", "ref_id"),
    [
        (run_of(step(1), error_message="max iterations reached"), "limit", "run"),
        (run_of(step(1), error_type="KeyError"), "error", "run"),
        (run_of(step(1), guard(1, "policy_block", "this may not be sent")), "guardrail", "g1"),
        (run_of(step(1), call(1, **TIMED_OUT)), "failed_call", "c1"),
        (run_of(step(1), step(2, "I am unable to go on.")), "gave_up", "s2"),
        (run_of(step(1), step(2, "The order is on its way.")), "answered", "s2"),
        (run_of(step(1, "")), "unknown", "s1"),
        (run_of(), "unknown", "run"),
    ],
)
def test_what_ended_the_run_is_the_last_thing_that_it_tells(
    run: AgentRun, how: str, ref_id: str
) -> None:
    ended = analyze_run(run).ended
    assert (ended.how, ended.ref_id) == (how, ref_id)


@pytest.mark.covers("B-095")
def test_the_runs_own_error_is_used_where_no_tool_failed() -> None:
    run = run_of(step(1), error_type="TimeoutError", error_message="the model timed out")
    analysis = analyze_run(run)
    assert (analysis.category, analysis.confidence) == ("timeout", "medium")
    assert [one.evidence_id for one in analysis.hypotheses[0].citations] == ["ev_run"]
    own = run_of(step(1), call(1, **DENIED), error_type="TimeoutError")
    assert analyze_run(own).category == "tool_permission"


@pytest.mark.covers("B-041")
def test_a_change_that_is_not_certain_needs_a_guardrail_beside_it() -> None:
    recent = [
        {"prompt_version": "v1", "status": "success"},
        {"prompt_version": "v2", "status": "failure"},
    ]
    told: dict[str, Any] = {"metadata": {"prompt_version": "v2", "recent_runs": recent}}
    assert analyze_run(run_of(*STEPS, call(1), **told)).category == "unknown"
    objection = guard(3, "output_check", "the answer has no order number")
    analysis = analyze_run(run_of(*STEPS, call(1), objection, **told))
    assert analysis.category == "prompt_regression"
    assert "(95 % from" in analysis.hypotheses[0].description


def test_a_tool_that_is_down_is_not_blamed_on_the_version() -> None:
    told: dict[str, Any] = {"metadata": {"prompt_version": "v2", "recent_runs": RECENT}}
    assert analyze_run(run_of(*STEPS, call(2, **TIMED_OUT), **told)).category == "timeout"


def test_a_schema_guardrail_alone_is_a_schema_mismatch() -> None:
    run = run_of(*STEPS, call(1), guard(2, "schema_validation", "field 'total' is no number"))
    analysis = analyze_run(run)
    assert analysis.category == "tool_schema_mismatch"
    assert analysis.decisive is not None
    assert analysis.decisive.step_id == "s2"


def test_a_run_that_succeeded_has_nothing_to_explain() -> None:
    analysis = analyze_run(run_of(*STEPS, call(1, **TIMED_OUT), status="success"))
    assert (analysis.category, analysis.hypotheses) == ("unknown", ())
    assert analysis.insufficient_reason.startswith("The run succeeded")
    assert [one.category for one in analysis.contributing] == ["timeout"]
