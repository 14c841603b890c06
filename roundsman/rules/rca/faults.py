"""What went wrong with the tools of a run, and which of it the run got over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from roundsman.rules.rca.records import AgentRun, ToolCall
from roundsman.rules.rca.signs import Category, category_of_call, is_empty
from roundsman.rules.rca.timeline import Positions, positions_of
from roundsman.rules.rca.turns import GIVES_UP, acting_turns, shorten

# F16: three consecutive calls with the same arguments and the same result.
LOOP_CALLS_MIN = 3
# B-039, where the telemetry counts a call's retries instead of telling each.
RETRIES_MIN = 3
# So many answers of other tools afterwards say that the run found another way.
OTHER_ANSWERS_MIN = 3
# So many turns after it, the last of them an answer, say that the run went on without it.
TURNS_AFTER_MIN = 3
_TROUBLE = re.compile(
    r"\b(?:sorry|apologi[sz]e|try (?:it )?again|errors?|trouble|problems?|unsuccessful|timed out"
    r"|denied|refused|unreachable)\b",
    re.IGNORECASE,
)


class Fault(NamedTuple):
    """One fault; `calls` are those that show it, a loop has several.

    `recovered` says that the run got over it: the same tool answered afterwards, several others
    did, or the run went on for some turns and came to an answer that speaks of no trouble.
    """

    category: Category
    position: int
    calls: tuple[ToolCall, ...]
    recovered: bool


class _Outcomes(NamedTuple):
    """The last call that each tool answered and the last that brought something, by index (-1 for
    none); `answers` counts the calls so far that did not fail; `went_on_at` is where the last
    turns that led to an answer begin, -1 where the run came to none.

    A failure of no category is the tool's own answer ("order not found"): it could be reached.
    """

    of_tool: dict[str, int]
    of_any: int
    answers: tuple[int, ...]
    went_on_at: int

    def is_over(self, index: int, tool: str, position: int) -> bool:
        """Whether the run got over what happened to this call of the tool on this step."""
        later = self.answers[-1] - self.answers[index]
        went_on = later >= OTHER_ANSWERS_MIN or self.went_on_at > position
        return self.of_tool.get(tool, -1) > index or went_on


def find_faults(run: AgentRun) -> tuple[Fault, ...]:
    """The faults in the order of their steps, loops among them."""
    positions, outcomes = positions_of(run), _outcomes(run)
    loops = tuple(_loops(run, positions))
    looped = {call.call_id for loop in loops for call in loop.calls}
    # To ask again and again for what is not there is a loop, not many empty answers.
    single = (
        fault
        for fault in _of_calls(run, positions, outcomes)
        if fault.category != "retrieval_empty" or fault.calls[0].call_id not in looped
    )
    found = [*single, *loops]
    return tuple(sorted(found, key=lambda fault: fault.position))


def same_call(call: ToolCall) -> tuple[str, str]:
    """What makes two calls the same: the tool, and the arguments or their hash."""
    arguments = call.args_hash or json.dumps(call.args_json, sort_keys=True, default=str)
    return call.tool_name, arguments


def find_loops(run: AgentRun) -> Iterator[tuple[int, tuple[ToolCall, ...]]]:
    """Each row of consecutive calls that ask and get the same, with the index of its first."""
    start = 0
    keys = [(same_call(call), call.status, call.result_summary) for call in run.tool_calls]
    for index in range(1, len(keys) + 1):
        if index < len(keys) and keys[index] == keys[start]:
            continue
        if index - start >= LOOP_CALLS_MIN:
            yield start, run.tool_calls[start:index]
        start = index


def _outcomes(run: AgentRun) -> _Outcomes:
    of_tool: dict[str, int] = {}
    of_any, answers = -1, 0
    counts: list[int] = []
    for index, call in enumerate(run.tool_calls):
        if category_of_call(call) == "unknown":
            of_tool[call.tool_name] = index
        if not call.failed:
            answers += 1
            of_any = of_any if is_empty(call) else index
        counts.append(answers)
    return _Outcomes(of_tool, of_any, tuple(counts), _went_on_at(run))


def _went_on_at(run: AgentRun) -> int:
    """The first of the last turns, if the very last answers, asks no tool and tells no trouble."""
    turns = acting_turns(run)[-TURNS_AFTER_MIN:]
    if len(turns) < TURNS_AFTER_MIN or run.error_type or run.error_message:
        return -1
    last = run.steps[turns[-1]]
    text = shorten(last.output_summary)
    if not text.strip() or GIVES_UP.search(text) or _TROUBLE.search(text):
        return -1
    return -1 if any(call.step_id == last.step_id for call in run.tool_calls) else turns[0]


def _of_calls(run: AgentRun, positions: Positions, outcomes: _Outcomes) -> Iterator[Fault]:
    for index, call in enumerate(run.tool_calls):
        category, place = category_of_call(call), positions.of(call.step_id)
        if category == "unknown" and is_empty(call):
            # To find nothing is an ordinary answer, unless the run ends on it.
            over = outcomes.of_any > index or outcomes.went_on_at > place
            yield Fault("retrieval_empty", place, (call,), over)
            continue
        if category == "unknown" and call.failed and call.retries >= RETRIES_MIN:
            category = "planner_loop"
        if category != "unknown":
            over = outcomes.is_over(index, call.tool_name, place)
            yield Fault(category, place, (call,), over)


def _loops(run: AgentRun, positions: Positions) -> Iterator[Fault]:
    for start, calls in find_loops(run):
        # Over it only where something else was done afterwards, and went well.
        later = run.tool_calls[start + len(calls) :]
        recovered = any(not call.failed and not is_empty(call) for call in later)
        if category_of_call(calls[0]) == "unknown":
            yield Fault("planner_loop", positions.of(calls[0].step_id), calls, recovered)
