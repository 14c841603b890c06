"""Which kind of decision failed at the step that decided a run."""

from __future__ import annotations

import re
from typing import Literal

from roundsman.rules.rca.records import GuardrailEvent, Step
from roundsman.rules.rca.signs import Category, is_policy_refusal
from roundsman.rules.rca.turns import ASSUMES, CONCLUDES, LED, USER, shorten

FailedDecision = Literal[
    "instruction_not_followed",
    "invented_information",
    "invalid_invocation",
    "misread_tool_output",
    "wrong_plan",
    "underspecified_request",
    "unsupported_intent",
    "guardrail_blocked",
    "system_failure",
    "inconclusive",
]
DECISION_OF_CATEGORY: dict[Category, FailedDecision] = {
    "tool_schema_mismatch": "invalid_invocation",
    "rate_limited": "system_failure",
    "tool_permission": "system_failure",
    "timeout": "system_failure",
    "planner_loop": "wrong_plan",
    "retrieval_empty": "system_failure",
    "prompt_regression": "instruction_not_followed",
}
UNSUPPORTED = re.compile(
    r"\b(?:not (?:supported|possible|able)|unsupported|no (?:tool|function|way)|beyond my"
    r"|outside (?:of )?(?:my|the) (?:scope|abilit\w+)|(?:cannot|can't|unable to) (?:access|listen"
    r"|watch|open|play|view|browse|transcribe))\b",
    re.IGNORECASE,
)
_BLOCKING = ("policy_block", "pii_redaction")


def decision_of(category: Category) -> FailedDecision:
    """What a fault of this category says of the decision; inconclusive where nothing."""
    return DECISION_OF_CATEGORY.get(category, "inconclusive")


def is_blocking(event: GuardrailEvent) -> bool:
    """Whether the event stopped the agent, and did not only find fault with its answer."""
    return event.type in _BLOCKING or is_policy_refusal(event.message)


def decision_at(step: Step, signs: frozenset[str], failed_call: bool) -> FailedDecision:
    """What the step itself shows, the plainest first; `signs` are those of its turn."""
    if step.kind == USER:
        return "underspecified_request"
    if failed_call:
        return "invalid_invocation"
    if sign_of(step, "unsupported_intent"):
        return "unsupported_intent"
    if ASSUMES.search(shorten(step.output_summary)):
        return "invented_information"
    if "reads_out" in signs or "after_answer" in signs:
        return "misread_tool_output"
    if step.kind.startswith(LED) or signs & {"opens", "calls", "code"}:
        return "wrong_plan"
    if CONCLUDES.search(shorten(step.output_summary)):
        return "instruction_not_followed"
    return "inconclusive"


def sign_of(step: Step, decision: FailedDecision) -> re.Pattern[str] | None:
    """The words by which the step shows it, None where no words do."""
    pattern = {
        "invented_information": ASSUMES,
        "unsupported_intent": UNSUPPORTED,
        "instruction_not_followed": CONCLUDES,
    }.get(decision)
    return pattern if pattern and pattern.search(shorten(step.output_summary)) else None
