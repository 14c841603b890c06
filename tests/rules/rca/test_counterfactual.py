"""A claim that is still made without what it cites rests on something else."""

from __future__ import annotations

from typing import get_args

import pytest

from roundsman.rules.rca.analysis import analyze_run
from roundsman.rules.rca.counterfactual import rests_on_evidence, without
from roundsman.rules.rca.evidence import Citation
from roundsman.rules.rca.signs import Category
from tests.rules.rca.runs import TIMED_OUT, call, guard, insufficient, run_of, step, sufficient
from tests.rules.rca.test_analysis import BY_CATEGORY


def cite(kind: str, ref_id: str) -> Citation:
    return Citation.model_validate({"kind": kind, "ref_id": ref_id, "quote": "any"})


@pytest.mark.parametrize("category", get_args(Category))
def test_no_claim_is_made_again_without_what_it_cites(category: Category) -> None:
    run = BY_CATEGORY[category]
    assert rests_on_evidence(run, analyze_run(run))


@pytest.mark.parametrize("calls", [1, 3, 4, 12])
def test_however_many_calls_of_one_step_failed_their_claim_goes_with_them(calls: int) -> None:
    failed = [call(1, call_id=f"c{n}", **TIMED_OUT) for n in range(calls)]
    run = run_of(step(1), step(2), *failed)
    assert rests_on_evidence(run, analyze_run(run))


def test_a_failed_call_and_an_error_of_the_run_that_say_the_same_are_cited_together() -> None:
    run = run_of(call(1, **TIMED_OUT), error_type="TimeoutError")
    cited = analyze_run(run).hypotheses[0].citations
    assert [citation.evidence_id for citation in cited] == ["ev_tool_c1", "ev_run"]


def test_a_claim_that_cites_something_else_does_not_rest_on_it() -> None:
    run = run_of(step(1), step(2), step(3), call(2, **TIMED_OUT))
    analysis = analyze_run(run)
    elsewhere = analysis.hypotheses[0].model_copy(update={"citations": (cite("step", "s3"),)})
    assert not rests_on_evidence(run, analysis.model_copy(update={"hypotheses": (elsewhere,)}))


def test_where_nothing_is_claimed_nothing_can_be_taken_away() -> None:
    assert rests_on_evidence(insufficient(), analyze_run(insufficient()))


def test_with_a_step_go_its_calls_and_with_the_run_its_error_and_history() -> None:
    run = run_of(
        step(1),
        step(2),
        call(1),
        call(2),
        guard(1, "other", "no"),
        error_type="E",
        metadata={"recent_runs": [{}], "task": "t"},
    )
    left = without(run, [cite("step", "s1"), cite("run", "run")])
    assert [one.step_id for one in left.steps] == ["s2"]
    assert [one.call_id for one in left.tool_calls] == ["c2"]
    assert left.guardrail_events == ()
    assert (left.error_type, left.metadata) == ("", {"task": "t"})
    assert without(run, []) == run
    no_guard = without(sufficient(), [cite("guardrail", "guard-001"), cite("tool_call", "s1")])
    assert no_guard.guardrail_events == ()
    assert len(no_guard.tool_calls) == 1
