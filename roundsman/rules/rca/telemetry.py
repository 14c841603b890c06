"""Is there enough told of a run to say anything, and what would have told more."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roundsman.rules.rca.evidence import text_of_step
from roundsman.rules.rca.records import AgentRun, ToolCall

# B-033.
LIMITED = "Limited telemetry: no tool failures or specific error details captured"
SUCCEEDED = "The run succeeded: there is no failure to explain"
NOTHING_STANDS = "No explanation is left whose evidence stands in the run"
# Errors that say only that there was one.
_GENERIC = re.compile(
    r"(?:\W*(?:an?|the|some|unknown|unexpected|unspecified|generic|general|internal|server|agent"
    r"|run|task|runtime|execution|error|exception|failure|failed|problem|occurr?ed|happened"
    r"|something|went|wrong|has|was|while|during|processing|request|none|null|please|try|again"
    r"|later))*\W*",
    re.IGNORECASE,
)
GENERIC_CHARACTERS_MAX = 120


def is_limited(run: AgentRun) -> bool:
    """B-044: no tool calls, no error and no guardrail events, or only errors without details."""
    if run.guardrail_events or has_details(f"{run.error_type} {run.error_message}"):
        return False
    return all(call.failed and not _tells(call) for call in run.tool_calls)


def has_details(error: str) -> bool:
    """Whether an error says more than that there was one."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", error[: GENERIC_CHARACTERS_MAX + 1])
    return len(error) > GENERIC_CHARACTERS_MAX or _GENERIC.fullmatch(spaced) is None


def reason_of(run: AgentRun) -> str:
    """Why nothing is claimed."""
    if run.succeeded:
        return SUCCEEDED
    return LIMITED if is_limited(run) else NOTHING_STANDS


def missing_telemetry(run: AgentRun) -> tuple[str, ...]:
    """What the sender could have told and did not."""
    return () if run.succeeded else tuple(_missing(run))


def _missing(run: AgentRun) -> Iterator[str]:
    if not run.tool_calls:
        yield "tool_calls with args_json, result_summary and error_class"
    if not has_details(f"{run.error_type} {run.error_message}"):
        yield "error_type and error_message of the run"
    if not run.guardrail_events:
        yield "guardrail_events with their messages"
    if not any(text_of_step(step).strip() for step in run.steps):
        yield "input_summary and output_summary of each step"
    if not any(step.started_at for step in run.steps):
        yield "started_at and ended_at of each step"


def _tells(call: ToolCall) -> bool:
    return call.http > 0 or has_details(f"{call.error_class} {call.error_message}")
