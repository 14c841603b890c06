"""Which fault of the eight categories a run could not get over, and what shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from roundsman.rules.rca.evidence import (
    CITATIONS_MAX,
    Citation,
    cite_call,
    cite_guard,
    cite_run,
    cite_step,
)
from roundsman.rules.rca.faults import Fault
from roundsman.rules.rca.rates import Change
from roundsman.rules.rca.records import AgentRun, GuardrailEvent, Step, ToolCall
from roundsman.rules.rca.signs import Category, category_of_error
from roundsman.rules.rca.timeline import Positions, positions_of
from roundsman.rules.rca.turns import last_turn

SCHEMA_GUARD = "schema_validation"
# More faults of one kind on one step are cited by the step, which holds them all.
CALLS_CITED_MAX = 3


class Cause(NamedTuple):
    """One of the eight categories, where it struck, and what shows it."""

    category: Category
    position: int
    citations: tuple[Citation, ...]
    said: str


def find_cause(run: AgentRun, faults: Iterable[Fault], change: Change | None) -> Cause | None:
    """The earliest fault that was not got over; without one a worse version, then the run's error.

    What a tool says of itself comes first: a version that fails because a tool is down is not to
    blame.
    """
    positions = positions_of(run)
    open_faults = [fault for fault in faults if not fault.recovered]
    if open_faults:
        return _of_fault(run, open_faults, positions)
    schema = [event for event in run.guardrail_events if event.type == SCHEMA_GUARD]
    if schema:
        return _of_schema_guard(run, schema, positions)
    if change is not None and (change.is_certain or run.guardrail_events):
        return _of_change(run, change, positions)
    return _of_error(run)


def _of_fault(run: AgentRun, faults: Sequence[Fault], positions: Positions) -> Cause:
    first = faults[0]
    same = [fault for fault in faults if fault.category == first.category]
    calls = [call for fault in same for call in fault.calls]
    here = [call for call in calls if positions.of(call.step_id) == first.position]
    elsewhere = [call for call in calls if positions.of(call.step_id) != first.position]
    cited = [cite_call(call) for call in (*here, *elsewhere)[:CALLS_CITED_MAX]]
    guards = [cite_guard(event) for event in _guards_of(run, first, positions)]
    parts = [*cited[:CALLS_CITED_MAX], *guards[: CITATIONS_MAX - CALLS_CITED_MAX]]
    steps = tuple(_steps_of(run, first.calls[0], positions))
    own = category_of_error(f"{run.error_type}: {run.error_message}")
    if own == first.category and len(_whole(parts)) < 2:
        parts = [*parts, cite_run(run)]
    if len(here) > CALLS_CITED_MAX or len(_whole(parts)) < 2:
        parts = [*(cite_step(step) for step in steps), *parts]
    return Cause(first.category, first.position, _whole(parts), _said_of(first))


def _whole(parts: Iterable[Citation | None]) -> tuple[Citation, ...]:
    """Each citation once, no more than a hypothesis may have."""
    return tuple(dict.fromkeys(part for part in parts if part is not None))[:CITATIONS_MAX]


def _guards_of(run: AgentRun, fault: Fault, positions: Positions) -> Iterator[GuardrailEvent]:
    """The events about the fault's calls or on its step."""
    ids = {call.call_id for call in fault.calls}
    for event in run.guardrail_events:
        on_step = event.step_id and positions.of_step.get(event.step_id) == fault.position
        is_schema = event.type == SCHEMA_GUARD and fault.category == "tool_schema_mismatch"
        if event.call_id in ids or on_step or is_schema:
            yield event


def _steps_of(run: AgentRun, call: ToolCall, positions: Positions) -> Iterator[Step]:
    """The step that made the call and the one that holds its answer."""
    for step_id in (call.step_id, call.result_step_id):
        if step_id in positions.of_step:
            yield run.steps[positions.of_step[step_id]]


def _said_of(fault: Fault) -> str:
    call = fault.calls[0]
    if fault.category == "planner_loop" and len(fault.calls) > 1:
        times = len(fault.calls)
        return f"'{call.tool_name}' was called {times} times in a row with the same result"
    if fault.category == "planner_loop":
        return f"'{call.tool_name}' failed after {call.retries} retries"
    if fault.category == "retrieval_empty":
        return f"'{call.tool_name}' found nothing, and the run found nothing else afterwards"
    return f"'{call.tool_name}' failed, and the run did not get over it"


def _of_schema_guard(
    run: AgentRun, events: Sequence[GuardrailEvent], positions: Positions
) -> Cause:
    event = events[0]
    own = positions.of_step.get(event.step_id)
    place = last_turn(run) if own is None else own
    step = cite_step(run.steps[place]) if run.steps else None
    citations = _whole((*map(cite_guard, events[: CITATIONS_MAX - 1]), step))
    said = "what the agent sent did not fit the schema that was checked"
    return Cause("tool_schema_mismatch", place, citations, said)


def _of_change(run: AgentRun, change: Change, positions: Positions) -> Cause:
    places = [
        positions.of_step[event.step_id]
        for event in run.guardrail_events
        if event.step_id in positions.of_step
    ]
    place = places[0] if places else last_turn(run)
    step = cite_step(run.steps[place]) if run.steps else None
    guards = map(cite_guard, run.guardrail_events[: CITATIONS_MAX - 2])
    (failed, of), (failed_since, of_since) = change.before, change.after
    said = (
        f"with '{change.since}' {failed} of {of} runs failed, with '{change.to}' "
        f"{failed_since} of {of_since}; the share grew by {change.growth:.2f} "
        f"(95 % from {change.interval.low:.2f} to {change.interval.high:.2f})"
    )
    return Cause("prompt_regression", place, _whole((*guards, step, cite_run(run))), said)


def _of_error(run: AgentRun) -> Cause | None:
    category = category_of_error(f"{run.error_type}: {run.error_message}")
    if category == "unknown":
        return None
    said = f"the run ended with '{run.error_type or run.error_message[:60]}'"
    return Cause(category, last_turn(run), _whole((cite_run(run),)), said)
