"""What happened in a run, one thing after the other, for a replay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from roundsman.rules.rca.records import AgentRun, GuardrailEvent, Step, ToolCall

Kind = Literal["step", "tool_call", "guardrail"]
_Part = TypeVar("_Part", ToolCall, GuardrailEvent)


class TimelineEvent(BaseModel):
    """One entry; `timestamp` is None where the telemetry tells no time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_id: str
    event_type: Kind
    timestamp: datetime | None
    name: str
    status: str
    details: dict[str, Any]


class Positions(NamedTuple):
    """Where each step stands in the run's list; of steps with the same id the first counts."""

    of_step: dict[str, int]
    last: int

    def of(self, step_id: str) -> int:
        """The step's place; what belongs to no step of the run stands at its end."""
        return self.of_step.get(step_id, self.last)


def positions_of(run: AgentRun) -> Positions:
    """Number the run's steps."""
    of_step: dict[str, int] = {}
    for position, step in enumerate(run.steps):
        of_step.setdefault(step.step_id, position)
    return Positions(of_step, max(0, len(run.steps) - 1))


def latency_ms_of(step: Step) -> float:
    """The step's time; from its start and end where the sender gives none or 0 (G-B4)."""
    if step.latency_ms:
        return step.latency_ms
    if step.started_at is None or step.ended_at is None:
        return 0.0
    return max(0.0, (step.ended_at - step.started_at).total_seconds() * 1000)


def merge_timeline(run: AgentRun) -> tuple[TimelineEvent, ...]:
    """All steps, calls and guardrail events by time; without times in the order of the lists.

    What has no time of its own stays behind what stands before it in the lists.
    """
    begin = datetime.min.replace(tzinfo=UTC)
    placed: list[tuple[datetime, TimelineEvent]] = []
    now = begin
    for event in _in_list_order(run):
        now = event.timestamp or now
        placed.append((now, event))
    return tuple(event for _, event in sorted(placed, key=lambda pair: pair[0]))


def _in_list_order(run: AgentRun) -> Iterator[TimelineEvent]:
    positions = positions_of(run)
    calls = _by_position(run.tool_calls, positions)
    guards = _by_position(run.guardrail_events, positions)
    for position, step in enumerate(run.steps):
        yield _of_step(step)
        yield from (_of_call(call, step.started_at) for call in calls[position])
        yield from map(_of_guard, guards[position])
    if not run.steps:
        yield from (_of_call(call, run.started_at) for call in run.tool_calls)
        yield from map(_of_guard, run.guardrail_events)


def _by_position(parts: tuple[_Part, ...], positions: Positions) -> dict[int, list[_Part]]:
    found: dict[int, list[_Part]] = defaultdict(list)
    for part in parts:
        found[positions.of(part.step_id)].append(part)
    return found


def _of_step(step: Step) -> TimelineEvent:
    return TimelineEvent(
        event_id=step.step_id,
        event_type="step",
        timestamp=step.started_at,
        name=step.name,
        status=step.status,
        details=step.model_dump(mode="json", exclude={"step_id", "name", "status"}),
    )


def _of_call(call: ToolCall, at: datetime | None) -> TimelineEvent:
    return TimelineEvent(
        event_id=call.call_id,
        event_type="tool_call",
        timestamp=at,
        name=call.tool_name,
        status=call.status,
        details=call.model_dump(mode="json", exclude={"call_id", "tool_name", "status"}),
    )


def _of_guard(event: GuardrailEvent) -> TimelineEvent:
    return TimelineEvent(
        event_id=event.event_id,
        event_type="guardrail",
        timestamp=event.created_at,
        name=event.type,
        status="triggered",
        details={"message": event.message, "step_id": event.step_id, "call_id": event.call_id},
    )
