"""What to do about a cause: to make sure of it, to ease it and to end it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.rca.signs import Category

ActionType = Literal["code_change", "runbook", "change_config", "rollback", "monitoring", "test"]
Priority = Literal["critical", "high", "medium", "low"]
DUE_IN_DAYS: dict[Priority, int] = {"critical": 1, "high": 3, "medium": 14, "low": 30}


class ActionItem(BaseModel):
    """One thing to be done; `owner` is a role, for telemetry names nobody."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action_id: str
    type: ActionType
    title: str
    description: str
    priority: Priority
    owner: str
    due_in_days: int


class _Draft(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: ActionType
    title: str
    description: str
    priority: Priority
    owner: str = "agent team"


def title_of(category: Category) -> str:
    """The category as it stands in a title."""
    return category.replace("_", " ").title()


def action_items(category: Category, insufficient: bool) -> tuple[ActionItem, ...]:
    """What follows from the category; where evidence is insufficient, only to collect more."""
    drafts = _COLLECT if insufficient else _DRAFTS[category]
    return tuple(
        ActionItem(
            action_id=f"act-{number}",
            due_in_days=DUE_IN_DAYS[draft.priority],
            **draft.model_dump(),
        )
        for number, draft in enumerate(drafts, 1)
    )


def _draft(
    kind: ActionType, priority: Priority, title: str, description: str, owner: str = "agent team"
) -> _Draft:
    return _Draft(type=kind, priority=priority, title=title, description=description, owner=owner)


_COLLECT = (
    _draft(
        "monitoring",
        "high",
        "Enable detailed tracing",
        "Send each step's input and output and each tool call with arguments, result and error.",
        "platform team",
    ),
    _draft(
        "code_change",
        "medium",
        "Add structured error codes",
        "Give every failure an error class, a message and a status code.",
    ),
)
_DRAFTS: dict[Category, tuple[_Draft, ...]] = {
    "tool_schema_mismatch": (
        _draft(
            "code_change",
            "high",
            "Update tool schema validation",
            "Bring the tool's definition in line with what the service accepts today.",
        ),
        _draft("test", "medium", "Test the tool's contract", "Call the tool as the agent does."),
    ),
    "rate_limited": (
        _draft(
            "change_config",
            "high",
            "Lower the call rate or raise the quota",
            "Honour Retry-After, spread the calls, or ask for a higher limit.",
            "platform team",
        ),
        _draft("monitoring", "medium", "Watch the quota", "Alarm before the limit is reached."),
    ),
    "tool_permission": (
        _draft(
            "change_config",
            "critical",
            "Grant the permission or renew the credentials",
            "Give the agent's identity what the refused call needs, and no more.",
            "platform team",
        ),
        _draft("runbook", "medium", "Write down who grants access", "Name the role and the owner."),
    ),
    "timeout": (
        _draft(
            "change_config",
            "high",
            "Fit the time limit to the service",
            "Compare the limit with the service's usual latency; retry with backoff.",
            "platform team",
        ),
        _draft("monitoring", "medium", "Watch the tool's latency", "Alarm on its 95th percentile."),
    ),
    "planner_loop": (
        _draft(
            "code_change",
            "high",
            "Stop repeated calls",
            "Refuse a third call with the same arguments and result, and say so to the agent.",
        ),
        _draft("test", "medium", "Replay the loop as a test", "The run must end by another way."),
    ),
    "retrieval_empty": (
        _draft(
            "code_change",
            "high",
            "Give the agent a way on when nothing is found",
            "Widen the query once, then say what was searched and that it was not there.",
        ),
        _draft("monitoring", "medium", "Watch empty answers", "Alarm when their share grows."),
    ),
    "prompt_regression": (
        _draft(
            "rollback",
            "critical",
            "Go back to the version before",
            "Serve the last version whose failure rate was lower until the new one is tested.",
        ),
        _draft("test", "high", "Evaluate before release", "Run the failed task on both versions."),
    ),
    "unknown": (
        _draft(
            "test",
            "medium",
            "Replay the decisive step",
            "Give the step the same input and check its answer by hand.",
        ),
        _draft("monitoring", "low", "Keep successful runs", "They show where a failed one left."),
    ),
}
_REVIEW = "Review tool call logs for detailed error traces"
VERIFICATION: dict[Category, tuple[str, ...]] = {
    "tool_schema_mismatch": (
        _REVIEW,
        "Check external service status and API documentation",
        "Validate the cited arguments against the tool's current schema",
    ),
    "rate_limited": (_REVIEW, "Compare the calls per minute with the service's limit"),
    "tool_permission": (_REVIEW, "Make the cited call with the agent's identity by hand"),
    "timeout": (_REVIEW, "Check external service status and API documentation"),
    "planner_loop": ("Read the cited calls and see that each answer was the same",),
    "retrieval_empty": (_REVIEW, "Run the cited query by hand and look whether the data exists"),
    "prompt_regression": ("Run the same task on the version before", "Compare both prompts"),
    "unknown": ("Read the cited step with the step before it", "Replay the run from there"),
}
MITIGATIONS: dict[Category, str] = {
    "tool_schema_mismatch": "Send the arguments that the service accepts",
    "rate_limited": "Wait as long as the service asks, and call less often",
    "tool_permission": "Grant what the call needs, or leave the source out and say so",
    "timeout": "Raise the limit or ask for less at once",
    "planner_loop": "Stop after the second identical answer",
    "retrieval_empty": "Widen the query, and tell when nothing is there",
    "prompt_regression": "Go back to the version before",
    "unknown": "Check the cited step by hand before the next run",
}
