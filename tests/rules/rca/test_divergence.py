"""Where a failed run left the way of a successful one."""

from __future__ import annotations

from roundsman.rules.rca.analysis import analyze_run
from roundsman.rules.rca.divergence import first_divergence
from roundsman.rules.rca.records import AgentRun
from tests.rules.rca.runs import call, run_of, step


def went(run_id: str, *tools: str, status: str = "failure", task: str = "orders") -> AgentRun:
    steps = [step(n) for n in range(len(tools))]
    calls = [call(n, tool_name=tool, args_json={}) for n, tool in enumerate(tools)]
    told = {"run_id": run_id, "status": status, "metadata": {"task": task}}
    return run_of(*steps, *calls, **told)


FAR = went("far", "login", "pay", "leave", status="success")
NEAR = went("near", "login", "find", "check", "pay", status="success")


def test_the_first_call_that_differs_from_the_nearest_success_is_named() -> None:
    divergence = first_divergence(went("run", "login", "find", "pay"), [FAR, NEAR])
    assert divergence is not None
    assert (divergence.from_run, divergence.step_id) == ("near", "s2")
    assert (divergence.done, divergence.expected) == ("pay", "check")


def test_a_run_that_stopped_early_or_went_on_is_told_so() -> None:
    early = first_divergence(went("run", "login", "find", "check"), [NEAR])
    late = first_divergence(went("run", "login", "find", "check", "pay", "find"), [NEAR])
    assert early is not None
    assert late is not None
    assert (early.done, early.expected, early.step_id) == (None, "pay", "s2")
    assert (late.done, late.expected, late.step_id) == ("find", None, "s4")


def test_failed_runs_other_tasks_the_run_itself_and_strangers_are_no_models() -> None:
    run = went("run", "login", "find", "pay")
    others = [
        went("failed", "login", "find", "check"),
        went("other", "login", "find", "check", status="success", task="mail"),
        went("run", "login", "find", "check", status="success"),
        went("alien", "a", "b", "c", status="success"),
        NEAR.model_copy(update={"agent_name": "other"}),
    ]
    assert first_divergence(run, others) is None
    assert first_divergence(went("run"), [NEAR]) is None
    assert first_divergence(went("run", "login", "find", "check", "pay"), [NEAR]) is None


def test_an_analysis_tells_it_for_a_failed_run_only() -> None:
    run = went("run", "login", "find", "pay")
    assert analyze_run(run, [NEAR]).divergence == first_divergence(run, [NEAR])
    succeeded = run.model_copy(update={"status": "success"})
    assert analyze_run(succeeded, [NEAR]).divergence is None


def test_the_step_where_the_run_left_is_cited_where_no_fault_explains_it() -> None:
    run = went("run", "login", "find", "pay")
    analysis = analyze_run(run, [NEAR])
    cited = {citation.evidence_id for citation in analysis.hypotheses[0].citations}
    assert analysis.decisive is not None
    assert cited == {f"ev_step_{analysis.decisive.step_id}", "ev_step_s2"}
    assert analyze_run(run).hypotheses[0].citations == analysis.hypotheses[0].citations[:1]
