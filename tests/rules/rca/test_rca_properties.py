"""What holds for every run, however odd its telemetry."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from roundsman.rules.rca.analysis import analyze_run
from roundsman.rules.rca.counterfactual import rests_on_evidence
from roundsman.rules.rca.evidence import CITATIONS_MAX, Citation, Hypothesis, gate, texts_of
from roundsman.rules.rca.records import AgentRun
from roundsman.rules.rca.report import build_report, prediction_of, report_bytes
from roundsman.rules.rca.timeline import merge_timeline

# Few ids, so that they meet, are missing and are used twice; words that mean something to a rule.
IDS = st.sampled_from(["a", "b", "c", "d", ""])
WORDS = st.sampled_from(
    ["timed out", "429", "Forbidden", "[]", "No results found", '{"hits": []}', "I assume 12", ""]
    + ["validation error", "\n\n short\n", "TERMINATE", "unable to", "budget exhausted", "{" * 40]
)
TEXTS = st.one_of(st.none(), WORDS, st.text(max_size=60))
TIMES = st.one_of(st.none(), st.datetimes().map(lambda at: at.isoformat()), st.integers(0, 10**9))
STATES = st.sampled_from(["success", "failure", "no_data", "odd", None])
COUNTS = st.one_of(st.none(), st.integers(0, 5))


def record(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def with_id(key: str, ids: Any, /, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: ids}, optional=fields)


SOME_IDS = st.sampled_from(["a", "b", "c", "d"])
STEPS = with_id(
    "step_id",
    SOME_IDS,
    name=TEXTS,
    agent=st.sampled_from(["x", "y", None]),
    kind=st.sampled_from(["agent", "user", "system", "executor", "orchestrator_thought", None]),
    status=STATES,
    started_at=TIMES,
    ended_at=TIMES,
    input_summary=TEXTS,
    output_summary=TEXTS,
    retries=COUNTS,
)
CALLS = with_id(
    "call_id",
    SOME_IDS,
    step_id=IDS,
    tool_name=IDS,
    status=STATES,
    args_json=st.dictionaries(IDS, st.one_of(st.none(), st.integers(), TEXTS), max_size=2),
    result_summary=TEXTS,
    result_step_id=IDS,
    error_class=TEXTS,
    error_message=TEXTS,
    status_code=st.sampled_from([None, 200, 400, 401, 403, 429, 500, 504, -1]),
    retries=COUNTS,
)
GUARDS = with_id(
    "event_id",
    SOME_IDS,
    type=st.sampled_from(["schema_validation", "policy_block", "other"]),
    message=TEXTS,
    step_id=IDS,
    call_id=st.one_of(st.none(), IDS),
    created_at=TIMES,
)
VERSIONS = st.sampled_from(["v1", "v2", None, 3])
RECENT = st.lists(
    st.one_of(st.none(), record(prompt_version=VERSIONS, agent_version=VERSIONS, status=STATES)),
    max_size=12,
)
RUNS = st.fixed_dictionaries(
    {"run_id": IDS.map(lambda name: name or "r"), "status": STATES},
    optional={
        "agent_name": st.sampled_from(["x", "y"]),
        "agent_version": st.sampled_from(["v1", "v2", None]),
        "started_at": TIMES,
        "ended_at": TIMES,
        "error_type": TEXTS,
        "error_message": TEXTS,
        "steps": st.lists(STEPS, max_size=7),
        "tool_calls": st.lists(CALLS, max_size=7),
        "guardrail_events": st.lists(GUARDS, max_size=3),
        "metadata": record(recent_runs=RECENT, prompt_version=VERSIONS, task=TEXTS),
    },
).map(AgentRun.model_validate)
FEW = settings(max_examples=40, deadline=None)


@FEW
@given(RUNS, st.lists(RUNS, max_size=3))
def test_every_run_is_told_and_the_same_run_in_the_same_bytes(
    run: AgentRun, history: list[AgentRun]
) -> None:
    again = AgentRun.model_validate_json(run.model_dump_json())
    analysis = analyze_run(run, history)
    assert prediction_of(analysis)["run_id"] == run.run_id
    first = report_bytes(build_report(run, analysis))
    assert first == report_bytes(build_report(again, analyze_run(again, history)))


@FEW
@given(RUNS, st.lists(RUNS, max_size=3))
def test_every_claim_cites_words_that_stand_in_the_run(
    run: AgentRun, history: list[AgentRun]
) -> None:
    analysis = analyze_run(run, history)
    assert analysis.insufficient_evidence == (not analysis.hypotheses)
    assert analysis.insufficient_evidence == bool(analysis.insufficient_reason)
    assert analysis.dropped <= 1
    texts = texts_of(run)
    for hypothesis in analysis.hypotheses:
        assert 1 <= len(hypothesis.citations) <= CITATIONS_MAX
        for citation in hypothesis.citations:
            assert citation.quote in texts[citation.kind, citation.ref_id]


@FEW
@given(RUNS, st.text(max_size=30), IDS, st.sampled_from(["step", "tool_call", "guardrail", "run"]))
def test_the_gate_keeps_only_words_of_the_object_that_is_named(
    run: AgentRun, quote: str, ref_id: str, kind: Any
) -> None:
    citation = Citation(kind=kind, ref_id=ref_id, quote=quote)
    asked = Hypothesis(
        category="unknown",
        step_id="",
        title="",
        description="",
        citations=(citation,),
        confidence="low",
    )
    if gate(run, [asked]).kept:
        assert quote.strip() in texts_of(run)[kind, ref_id]


@FEW
@given(RUNS)
def test_a_timeline_holds_every_part_once(run: AgentRun) -> None:
    parts = (*run.steps, *run.tool_calls, *run.guardrail_events)
    assert len(merge_timeline(run)) == len(parts)


@FEW
@given(RUNS, st.lists(RUNS, max_size=2))
def test_no_claim_outlives_what_it_cites(run: AgentRun, history: list[AgentRun]) -> None:
    ids = [step.step_id for step in run.steps]
    calls = [call.call_id for call in run.tool_calls]
    # Where an id names two objects, the other one could be taken away.
    if len(set(ids)) == len(ids) and len(set(calls)) == len(calls):
        assert rests_on_evidence(run, analyze_run(run, history), history)
