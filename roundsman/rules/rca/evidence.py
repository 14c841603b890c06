"""Does what a hypothesis cites stand in the run, word for word."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from roundsman.rules.rca.rates import recent_runs
from roundsman.rules.rca.records import RUN, AgentRun, GuardrailEvent, Step, ToolCall
from roundsman.rules.rca.signs import Category, error_of

EvidenceKind = Literal["step", "tool_call", "guardrail", "run"]
Confidence = Literal["high", "medium", "low"]
# A shorter quote stands almost anywhere, and must be a whole line.
QUOTE_CHARACTERS_MIN = 12
QUOTE_CHARACTERS_MAX = 200
CITATIONS_MAX = 5
PREFIXES: dict[EvidenceKind, str] = {
    "step": "ev_step_",
    "tool_call": "ev_tool_",
    "guardrail": "ev_guard_",
    "run": "ev_",
}


class Citation(BaseModel):
    """One object of the run and a text copied from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EvidenceKind
    ref_id: str
    quote: str

    @property
    def evidence_id(self) -> str:
        """The id under which the report's index holds it."""
        return f"{PREFIXES[self.kind]}{self.ref_id}"


class Hypothesis(BaseModel):
    """One explanation with what it rests on; `step_id` is empty where no step is meant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: Category
    step_id: str
    title: str
    description: str
    citations: tuple[Citation, ...]
    confidence: Confidence
    verification_steps: tuple[str, ...] = ()
    mitigation: str = ""


class Gated(NamedTuple):
    """The hypotheses that stand, and how many were dropped."""

    kept: tuple[Hypothesis, ...]
    dropped: int


Texts = Mapping[tuple[EvidenceKind, str], str]


def gate(run: AgentRun, hypotheses: Iterable[Hypothesis]) -> Gated:
    """Keep what cites the run truly: at least one object, and every quote a part of its object.

    A quote under 12 characters must be a whole line. Whoever wrote the hypothesis, a rule or a
    model, one citation that fails drops it.
    """
    asked, texts = tuple(hypotheses), texts_of(run)
    kept = tuple(hypothesis for hypothesis in asked if _stands(hypothesis, texts))
    return Gated(kept, len(asked) - len(kept))


def texts_of(run: AgentRun) -> Texts:
    """What may be quoted of each object; of objects with the same id the first counts."""
    texts: dict[tuple[EvidenceKind, str], str] = {("run", RUN): text_of_run(run)}
    for step in run.steps:
        texts.setdefault(("step", step.step_id), text_of_step(step))
    for call in run.tool_calls:
        texts.setdefault(("tool_call", call.call_id), text_of_call(call))
    for event in run.guardrail_events:
        texts.setdefault(("guardrail", event.event_id), event.message)
    return texts


def text_of_step(step: Step) -> str:
    """What may be quoted of a step."""
    return "\n".join((step.output_summary, step.input_summary, step.name))


def text_of_call(call: ToolCall) -> str:
    """What may be quoted of a call."""
    arguments = json.dumps(call.args_json, ensure_ascii=False, default=str)
    return "\n".join(
        (call.error_message, call.result_summary, call.error_class, call.tool_name, arguments)
    )


def text_of_run(run: AgentRun) -> str:
    """What may be quoted of the run as a whole, each part as it is spelled in JSON."""
    recent = [json.dumps(entry, default=str) for entry in recent_runs(run)]
    told = [_spell(text) for text in (run.error_message, run.error_type, run.agent_version)]
    return "\n".join((*told, *recent))


def cite_call(call: ToolCall) -> Citation | None:
    """The call with the line that says what happened; None where it says nothing."""
    said = call.error_message or call.result_summary or error_of(call)
    return _cite("tool_call", call.call_id, quote_from(said))


def cite_guard(event: GuardrailEvent) -> Citation | None:
    """The event with its message."""
    return _cite("guardrail", event.event_id, quote_from(event.message))


def cite_step(step: Step, sign: re.Pattern[str] | None = None) -> Citation | None:
    """The step with the line where the sign stands, else with its first one."""
    said = step.output_summary if step.output_summary.strip() else step.input_summary
    return _cite("step", step.step_id, quote_from(said or step.name, sign))


def cite_run(run: AgentRun) -> Citation | None:
    """The run with its error, else with the last that it tells of earlier ones."""
    recent = [json.dumps(entry, default=str) for entry in recent_runs(run)]
    error = run.error_message or run.error_type
    said = _spell(error) if error else recent[-1] if recent else _spell(run.agent_version)
    return _cite("run", RUN, quote_from(said))


def quote_from(text: str, sign: re.Pattern[str] | None = None) -> str:
    """The line of the text where the sign stands, else the first that says something.

    Lines too short to be sure of are passed over where there is a longer one. A line over 200
    characters is cut around the sign.
    """
    match = sign.search(text) if sign else None
    if match:
        start = text.rfind("\n", 0, match.start()) + 1
        start = max(start, match.start() - QUOTE_CHARACTERS_MAX // 2)
        line = text[start : start + QUOTE_CHARACTERS_MAX].split("\n")[0].strip()
        if len(line) >= QUOTE_CHARACTERS_MIN:
            return line
    head = text[: QUOTE_CHARACTERS_MAX * 10]
    lines = [line.strip() for line in head.split("\n")]
    long = (line for line in lines if len(line) >= QUOTE_CHARACTERS_MIN)
    line = next(long, "") or next(filter(None, lines), "")
    return line[:QUOTE_CHARACTERS_MAX].strip()


def _spell(text: str) -> str:
    return json.dumps(text)[1:-1]


def _cite(kind: EvidenceKind, ref_id: str, quote: str) -> Citation | None:
    return Citation(kind=kind, ref_id=ref_id, quote=quote) if quote else None


def _stands(hypothesis: Hypothesis, texts: Texts) -> bool:
    return bool(hypothesis.citations) and all(
        _is_true(citation, texts.get((citation.kind, citation.ref_id)))
        for citation in hypothesis.citations
    )


def _is_true(citation: Citation, text: str | None) -> bool:
    quote = citation.quote.strip()
    if text is None or not quote:
        return False
    if len(quote) < QUOTE_CHARACTERS_MIN:
        return any(quote == line.strip() for line in text.split("\n"))
    return quote in text
