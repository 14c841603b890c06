"""Why did a run fail: what ended it, which step decided it, and what it got over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from roundsman.rules.rca.actions import MITIGATIONS, VERIFICATION, title_of
from roundsman.rules.rca.alarms import Alarm, judge_alarms
from roundsman.rules.rca.causes import Cause, find_cause
from roundsman.rules.rca.decisions import (
    FailedDecision,
    decision_at,
    decision_of,
    is_blocking,
    sign_of,
)
from roundsman.rules.rca.divergence import Divergence, first_divergence
from roundsman.rules.rca.evidence import (
    Citation,
    Confidence,
    Hypothesis,
    cite_guard,
    cite_step,
    gate,
)
from roundsman.rules.rca.faults import Fault, find_faults
from roundsman.rules.rca.ranking import RANKED_MAX, RankedStep, put_first, rank_steps
from roundsman.rules.rca.rates import earlier_runs, judge_change
from roundsman.rules.rca.records import RUN, AgentRun, GuardrailEvent
from roundsman.rules.rca.signs import Category, error_of
from roundsman.rules.rca.telemetry import is_limited, missing_telemetry, reason_of
from roundsman.rules.rca.timeline import positions_of
from roundsman.rules.rca.turns import GIVES_UP, last_turn, shorten

Ended = Literal["answered", "gave_up", "error", "limit", "guardrail", "failed_call", "unknown"]
# From so many objects on a claim is sure (G-B6).
SURE_CITATIONS_MIN = 2
SCORE_OF: dict[Confidence, float] = {"high": 0.9, "medium": 0.7, "low": 0.5}
CONTRIBUTING_MAX = 20
SAID_CHARACTERS_MAX = 200
_LIMIT = re.compile(
    r"\bmax(?:imum)?\b.{0,20}\b(?:iterations?|steps?|turns?|retries)\b|\bbudget\b|\blimit\b"
    r"|exhausted",
    re.IGNORECASE,
)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ending(_Record):
    """What ended the run, as the last thing that it tells."""

    how: Ended
    ref_id: str
    said: str


class Contribution(_Record):
    """A fault that the run got over."""

    category: Category
    step_id: str
    call_ids: tuple[str, ...]


class Analysis(_Record):
    """The three answers, the two axes, and what they rest on.

    `decisive` is None where no step can be told; `dropped` counts hypotheses that cited what does
    not stand in the run; `missing` names the telemetry that would have told.
    """

    run_id: str
    category: Category
    decision: FailedDecision
    confidence: Confidence | None
    ended: Ending
    decisive: RankedStep | None
    contributing: tuple[Contribution, ...]
    ranked: tuple[RankedStep, ...]
    divergence: Divergence | None
    hypotheses: tuple[Hypothesis, ...]
    dropped: int
    insufficient_evidence: bool
    insufficient_reason: str
    missing: tuple[str, ...]
    alarms: tuple[Alarm, ...]


class _Verdict(NamedTuple):
    """The rules' own hypothesis with its cause, if the gate let it through, and all that it did."""

    own: Hypothesis | None
    cause: Cause | None
    kept: tuple[Hypothesis, ...]
    dropped: int


def analyze_run(
    run: AgentRun, history: Iterable[AgentRun] = (), proposed: Iterable[Hypothesis] = ()
) -> Analysis:
    """Judge one run beside other stored runs of any agent, oldest first.

    `proposed` are hypotheses of somebody else, a model say (B-047): the same gate stands before
    them, and the category stays that of the rules.
    """
    others, faults = tuple(history), find_faults(run)
    ranked = rank_steps(run)
    divergence = None if run.succeeded else first_divergence(run, others)
    verdict = _judge(run, _cause(run, others, faults), ranked, divergence, proposed)
    own, cause = verdict.own, verdict.cause
    if cause and own:
        ranked = put_first(ranked, cause.position, run, SCORE_OF[own.confidence])
    insufficient = not verdict.kept
    return Analysis(
        run_id=run.run_id,
        category=own.category if own else "unknown",
        decision=_decision(run, cause, ranked) if own else "inconclusive",
        confidence=verdict.kept[0].confidence if verdict.kept else None,
        ended=_ending(run),
        decisive=ranked[0] if ranked else None,
        contributing=tuple(_contributions(run, faults))[:CONTRIBUTING_MAX],
        ranked=ranked[:RANKED_MAX],
        divergence=divergence,
        hypotheses=verdict.kept,
        dropped=verdict.dropped,
        insufficient_evidence=insufficient,
        insufficient_reason=reason_of(run) if insufficient else "",
        missing=missing_telemetry(run) if insufficient else (),
        alarms=judge_alarms(run, others),
    )


def _judge(
    run: AgentRun,
    cause: Cause | None,
    ranked: tuple[RankedStep, ...],
    divergence: Divergence | None,
    proposed: Iterable[Hypothesis],
) -> _Verdict:
    if run.succeeded or is_limited(run):
        return _Verdict(None, None, (), len(tuple(proposed)))
    own = gate(run, _own_hypotheses(run, cause, ranked, divergence))
    others = gate(run, proposed)
    kept, dropped = (*own.kept, *others.kept), own.dropped + others.dropped
    # What the gate dropped is no cause either.
    return _Verdict(*((own.kept[0], cause) if own.kept else (None, None)), kept, dropped)


def _cause(run: AgentRun, others: Iterable[AgentRun], faults: Iterable[Fault]) -> Cause | None:
    if run.succeeded:
        return None
    return find_cause(run, faults, judge_change(run, earlier_runs(run, others)))


def _own_hypotheses(
    run: AgentRun,
    cause: Cause | None,
    ranked: tuple[RankedStep, ...],
    divergence: Divergence | None,
) -> Iterator[Hypothesis]:
    if cause is not None:
        yield _of_cause(run, cause)
    elif ranked:
        yield _of_step(run, ranked[0], divergence)


def _of_cause(run: AgentRun, cause: Cause) -> Hypothesis:
    sure = len(cause.citations) >= SURE_CITATIONS_MIN
    return Hypothesis(
        category=cause.category,
        step_id=run.steps[cause.position].step_id if run.steps else "",
        title=f"{title_of(cause.category)} Root Cause",
        description=cause.said,
        citations=cause.citations,
        confidence="high" if sure else "medium",
        verification_steps=VERIFICATION[cause.category],
        mitigation=MITIGATIONS[cause.category],
    )


def _of_step(run: AgentRun, first: RankedStep, divergence: Divergence | None) -> Hypothesis:
    """Without a fault of the tools: the likeliest step, with what it says, and low confidence."""
    step, decision = run.steps[first.position], _decision(run, None, (first,))
    cited = cite_step(step, sign_of(step, decision))
    guards = [cite_guard(event) for event in _blocks(run) if event.step_id == step.step_id]
    left = _where_left(run, first, divergence)
    citations = tuple(part for part in (cited, *guards[:1], left) if part is not None)
    return Hypothesis(
        category="unknown",
        step_id=step.step_id,
        title=f"{decision.replace('_', ' ').capitalize()} at step '{step.step_id}'",
        description=f"'{step.agent or step.name}' decided the run here: {_told(first)}",
        citations=citations,
        confidence="low",
        verification_steps=VERIFICATION["unknown"],
        mitigation=MITIGATIONS["unknown"],
    )


def _where_left(run: AgentRun, first: RankedStep, divergence: Divergence | None) -> Citation | None:
    """The step where the run left the way of a successful one, if it is another than the first."""
    if divergence is None or divergence.step_id in ("", first.step_id):
        return None
    return cite_step(run.steps[positions_of(run).of_step[divergence.step_id]])


def _told(first: RankedStep) -> str:
    signs = ", ".join(sign.rpartition(".")[2].replace("_", " ") for sign in first.signs)
    return f"score {first.score:.2f}" + (f" ({signs})" if signs else "")


def _decision(run: AgentRun, cause: Cause | None, ranked: tuple[RankedStep, ...]) -> FailedDecision:
    if cause is not None:
        return decision_of(cause.category)
    if not ranked:
        return "inconclusive"
    step = run.steps[ranked[0].position]
    if next(_blocks(run), None):
        return "guardrail_blocked"
    failed = any(call.failed and call.step_id == step.step_id for call in run.tool_calls)
    return decision_at(step, frozenset(ranked[0].signs), failed)


def _blocks(run: AgentRun) -> Iterator[GuardrailEvent]:
    return (event for event in run.guardrail_events if is_blocking(event))


def _contributions(run: AgentRun, faults: Iterable[Fault]) -> Iterator[Contribution]:
    for fault in faults:
        if fault.recovered or run.succeeded:
            yield Contribution(
                category=fault.category,
                step_id=run.steps[fault.position].step_id if run.steps else "",
                call_ids=tuple(call.call_id for call in fault.calls),
            )


def _ending(run: AgentRun) -> Ending:
    error = run.error_message or run.error_type
    if error and not run.succeeded:
        return _ended("limit" if _LIMIT.search(error) else "error", RUN, error)
    return _ending_by_parts(run)


def _ending_by_parts(run: AgentRun) -> Ending:
    last = last_turn(run)
    of_step = positions_of(run).of_step
    blocked = [event for event in _blocks(run) if of_step.get(event.step_id, -1) >= last]
    if blocked:
        return _ended("guardrail", blocked[-1].event_id, blocked[-1].message)
    call = run.tool_calls[-1] if run.tool_calls else None
    if call and call.failed and of_step.get(call.step_id, last) >= last:
        return _ended("failed_call", call.call_id, error_of(call))
    if not run.steps:
        return _ended("unknown", RUN, "")
    text = shorten(run.steps[last].output_summary)
    how: Ended = "gave_up" if GIVES_UP.search(text) and not run.succeeded else "answered"
    return _ended(how if text.strip() else "unknown", run.steps[last].step_id, text)


def _ended(how: Ended, ref_id: str, said: str) -> Ending:
    return Ending(how=how, ref_id=ref_id, said=said[:SAID_CHARACTERS_MAX])
