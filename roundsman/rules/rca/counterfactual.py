"""Does a claim rest on what it cites: is it still made when that is taken away."""

from __future__ import annotations

from collections.abc import Iterable

from roundsman.rules.rca.analysis import Analysis, analyze_run
from roundsman.rules.rca.evidence import Citation
from roundsman.rules.rca.records import AgentRun


def without(run: AgentRun, citations: Iterable[Citation]) -> AgentRun:
    """The run without the cited objects; with a step go its calls and its guardrail events.

    The run as an object is what it tells of itself as a whole: its error and of earlier runs.
    """
    gone = {(citation.kind, citation.ref_id) for citation in citations}
    kept = {
        "steps": tuple(s for s in run.steps if ("step", s.step_id) not in gone),
        "tool_calls": tuple(
            call
            for call in run.tool_calls
            if not {("tool_call", call.call_id), ("step", call.step_id)} & gone
        ),
        "guardrail_events": tuple(
            event
            for event in run.guardrail_events
            if not {("guardrail", event.event_id), ("step", event.step_id)} & gone
        ),
    }
    if any(kind == "run" for kind, _ in gone):
        metadata = {name: value for name, value in run.metadata.items() if name != "recent_runs"}
        kept |= {"error_type": "", "error_message": "", "metadata": metadata}
    return run.model_copy(update=kept)


def rests_on_evidence(run: AgentRun, analysis: Analysis, history: Iterable[AgentRun] = ()) -> bool:
    """Whether the same category at the same step loses its confidence without what it cites.

    True where nothing is claimed, or nothing at a step.
    """
    claim = next((one for one in analysis.hypotheses if one.step_id), None)
    if claim is None:
        return True
    again = analyze_run(without(run, claim.citations), history)
    return all(
        (other.category, other.step_id, other.confidence)
        != (claim.category, claim.step_id, claim.confidence)
        for other in again.hypotheses
    )
