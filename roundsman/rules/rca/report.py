"""How an analysis is told: the report, its bytes, and what `score` programs read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from roundsman.rules.rca.actions import ActionItem, action_items, title_of
from roundsman.rules.rca.alarms import Alarm
from roundsman.rules.rca.analysis import Analysis, Contribution, Ending
from roundsman.rules.rca.decisions import FailedDecision
from roundsman.rules.rca.divergence import Divergence
from roundsman.rules.rca.evidence import Citation, Confidence, EvidenceKind, Hypothesis
from roundsman.rules.rca.ranking import RankedStep
from roundsman.rules.rca.records import AgentRun, ToolCall
from roundsman.rules.rca.signs import Category
from roundsman.rules.rca.timeline import latency_ms_of
from roundsman.rules.redaction import redact, redact_text

SNIPPET_CHARACTERS_MAX = 200


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(_Record):
    """One cited object."""

    evidence_id: str
    kind: EvidenceKind
    ref_id: str
    title: str
    snippet: str
    attributes: dict[str, str | int | None] = {}


class ReportedHypothesis(_Record):
    """A hypothesis with the ids of its evidence in the index."""

    hypothesis_id: str
    title: str
    description: str
    evidence_ids: tuple[str, ...]
    confidence: Confidence
    verification_steps: tuple[str, ...]
    mitigation: str


class Report(_Record):
    """The report without its id and time, which the ledger gives."""

    category: Category
    failed_decision: FailedDecision
    insufficient_evidence: bool
    insufficient_reason: str | None
    missing_telemetry: tuple[str, ...]
    ended: Ending
    decisive_step: RankedStep | None
    contributing: tuple[Contribution, ...]
    ranked_steps: tuple[RankedStep, ...]
    divergence: Divergence | None
    evidence_index: tuple[Evidence, ...]
    hypotheses: tuple[ReportedHypothesis, ...]
    dropped_hypotheses: int
    action_items: tuple[ActionItem, ...]
    alarms: tuple[Alarm, ...]
    metrics_snapshot: dict[str, str | int | float | None]
    jira_fields: dict[str, str]


def build_report(run: AgentRun, analysis: Analysis) -> Report:
    """Tell the analysis; secrets are cut out of everything that quotes the run."""
    hypotheses = tuple(_told(number, one) for number, one in enumerate(analysis.hypotheses, 1))
    items = action_items(analysis.category, analysis.insufficient_evidence)
    told = Report(
        category=analysis.category,
        failed_decision=analysis.decision,
        insufficient_evidence=analysis.insufficient_evidence,
        insufficient_reason=analysis.insufficient_reason or None,
        missing_telemetry=analysis.missing,
        ended=analysis.ended,
        decisive_step=analysis.decisive,
        contributing=analysis.contributing,
        ranked_steps=analysis.ranked,
        divergence=analysis.divergence,
        evidence_index=tuple(_evidence(run, analysis.hypotheses)),
        hypotheses=hypotheses,
        dropped_hypotheses=analysis.dropped,
        action_items=items,
        alarms=analysis.alarms,
        metrics_snapshot=_metrics(run),
        jira_fields=_ticket(run, analysis, items),
    )
    return Report.model_validate(redact(told.model_dump(mode="python")))


def report_bytes(report: Report) -> bytes:
    """The report as JSON: the same input, the same bytes."""
    told = report.model_dump(mode="json")
    return json.dumps(told, ensure_ascii=False, sort_keys=True, indent=2).encode()


def prediction_of(analysis: Analysis) -> dict[str, Any]:
    """The analysis in the form of an evaluation: one line of its predictions file."""
    first = analysis.decisive
    return {
        "run_id": analysis.run_id,
        "step_id": first.step_id if first else None,
        "ranked_steps": [step.step_id for step in analysis.ranked],
        "agent": first.agent if first else None,
        "category": analysis.category,
        "failed_decision": analysis.decision,
        "insufficient_evidence": analysis.insufficient_evidence,
        "alarms": sorted({alarm.kind for alarm in analysis.alarms if not alarm.informational}),
        "hypotheses": [
            {
                "title": one.title,
                "evidence": [{"id": c.ref_id, "quote": c.quote} for c in one.citations],
            }
            for one in analysis.hypotheses
        ],
    }


def _told(number: int, hypothesis: Hypothesis) -> ReportedHypothesis:
    return ReportedHypothesis(
        hypothesis_id=f"hyp-{number}",
        title=hypothesis.title,
        description=hypothesis.description,
        evidence_ids=tuple(citation.evidence_id for citation in hypothesis.citations),
        confidence=hypothesis.confidence,
        verification_steps=hypothesis.verification_steps,
        mitigation=hypothesis.mitigation,
    )


def _evidence(run: AgentRun, hypotheses: tuple[Hypothesis, ...]) -> Iterator[Evidence]:
    calls = {call.call_id: call for call in run.tool_calls}
    names = {step.step_id: step.name for step in run.steps}
    guards = {event.event_id: event.type for event in run.guardrail_events}
    cited = {c.evidence_id: c for hypothesis in hypotheses for c in hypothesis.citations}
    for evidence_id, citation in cited.items():
        call = calls.get(citation.ref_id) if citation.kind == "tool_call" else None
        name = {"step": names, "guardrail": guards}.get(citation.kind, {}).get(citation.ref_id, "")
        yield Evidence(
            evidence_id=evidence_id,
            kind=citation.kind,
            ref_id=citation.ref_id,
            title=_title(citation, call, name),
            snippet=citation.quote[:SNIPPET_CHARACTERS_MAX],
            attributes=_attributes(call),
        )


def _title(citation: Citation, call: ToolCall | None, name: str) -> str:
    if call is not None:
        return f"{'Failed tool call' if call.failed else 'Tool call'}: {call.tool_name}"
    if citation.kind == "guardrail":
        return f"Guardrail triggered: {name}"
    return f"Step: {name[:80]}" if citation.kind == "step" else "The run as a whole"


def _attributes(call: ToolCall | None) -> dict[str, str | int | None]:
    if call is None:
        return {}
    return {"error_class": call.error_class or None, "status_code": call.status_code}


def _metrics(run: AgentRun) -> dict[str, str | int | float | None]:
    failing = Counter(call.tool_name for call in run.tool_calls if call.failed)
    retries = sum(part.retries for part in (*run.steps, *run.tool_calls))
    return {
        "top_failing_tool": min(failing, key=lambda name: (-failing[name], name), default=None),
        "max_step_latency_ms": max((latency_ms_of(step) for step in run.steps), default=0.0),
        "total_retries": retries,
        "total_cost_usd": run.cost.total_cost_usd,
    }


def _ticket(run: AgentRun, analysis: Analysis, items: tuple[ActionItem, ...]) -> dict[str, str]:
    name = title_of(analysis.category)
    lines = [f"Run `{run.run_id}` of `{run.agent_name}`: **{name}**", ""]
    if analysis.insufficient_evidence:
        lines.append(f"{analysis.insufficient_reason}.")
        lines += [f"- would have told: {missing}" for missing in analysis.missing]
    for hypothesis in analysis.hypotheses:
        lines.append(f"{hypothesis.title} ({hypothesis.confidence}): {hypothesis.description}")
        lines += [f"- `{c.evidence_id}`: {redact_text(c.quote)}" for c in hypothesis.citations]
    lines += ["", *(f"- [{item.priority}] {item.title}: {item.description}" for item in items)]
    return {
        "jira_summary": f"[AgentOps RCA] {name} - Run {run.run_id[:8]}",
        "jira_description_md": "\n".join(lines),
    }
