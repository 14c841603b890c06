"""What went wrong with the tools, what the run got over, and what is a loop."""

from __future__ import annotations

from typing import Any

import pytest

from roundsman.rules.rca.faults import find_faults, find_loops
from tests.rules.rca.runs import DENIED, TIMED_OUT, call, run_of, step


def faults(*calls: dict[str, Any]) -> list[tuple[str, bool]]:
    steps = [step(n) for n in range(1, 9)] + [step(9, "I am sorry.")]
    return [(fault.category, fault.recovered) for fault in find_faults(run_of(*steps, *calls))]


def test_a_fault_is_over_when_the_same_tool_answers_afterwards() -> None:
    assert faults(call(1, **TIMED_OUT)) == [("timeout", False)]
    assert faults(call(1, **TIMED_OUT), call(2)) == [("timeout", True)]
    assert faults(call(2), call(3, **TIMED_OUT)) == [("timeout", False)]


def test_a_tool_that_answers_no_could_be_reached() -> None:
    refused = {"status": "failure", "error_message": "the order was already returned"}
    assert faults(call(1, **TIMED_OUT), call(2, **refused)) == [("timeout", True)]


def test_a_fault_is_over_when_several_other_tools_answered() -> None:
    others = [call(n, tool_name=f"other_{n}") for n in (2, 3, 4)]
    assert faults(call(1, **DENIED), *others[:2]) == [("tool_permission", False)]
    assert faults(call(1, **DENIED), *others) == [("tool_permission", True)]


@pytest.mark.parametrize(
    ("turns", "answer", "more", "over"),
    [
        (3, "The order was sent on Monday.", {}, True),
        (2, "The order was sent on Monday.", {}, False),
        (3, "I could not find the order.", {}, False),
        (3, "Sorry, please try again later.", {}, False),
        (3, "", {}, False),
        (3, "The order was sent on Monday.", {"error_type": "KeyError"}, False),
    ],
)
def test_a_run_that_went_on_to_a_plain_answer_got_over_it(
    turns: int, answer: str, more: dict[str, Any], over: bool
) -> None:
    steps = [step(n) for n in range(1, 1 + turns)] + [step(1 + turns, answer)]
    fault = find_faults(run_of(*steps, call(1, **TIMED_OUT), **more))[0]
    assert fault.recovered is over


@pytest.mark.covers("B-040")
def test_to_find_nothing_matters_only_where_the_run_ends_on_it() -> None:
    nothing = call(1, result_summary="[]")
    assert faults(nothing) == [("retrieval_empty", False)]
    assert faults(nothing, call(2, tool_name="other")) == [("retrieval_empty", True)]


@pytest.mark.covers("B-039", "B-086")
def test_three_consecutive_calls_with_the_same_arguments_and_result_are_a_loop() -> None:
    same: dict[str, Any] = {"args_json": {"q": "a"}, "result_summary": "still nothing new"}
    calls = [call(n, **same) for n in (1, 2, 3)]
    assert faults(*calls[:2]) == []
    assert faults(*calls) == [("planner_loop", False)]
    by_hash = [call(n, args_hash="ab", result_summary="same") for n in (1, 2, 3)]
    assert faults(*by_hash) == [("planner_loop", False)]


@pytest.mark.parametrize(
    "other",
    [{"result_summary": "now it is there"}, {"args_json": {"q": "b"}}, {"tool_name": "other"}],
)
def test_another_result_argument_or_tool_in_between_is_no_loop(other: dict[str, Any]) -> None:
    same: dict[str, Any] = {"args_json": {"q": "a"}, "result_summary": "still nothing new"}
    calls = [call(1, **same), call(2, **same), call(3, **same | other), call(4, **same)]
    assert list(find_loops(run_of(*calls))) == []


def test_a_loop_that_led_somewhere_is_over() -> None:
    same: dict[str, Any] = {"args_json": {"q": "a"}, "result_summary": "still nothing new"}
    calls = [call(n, **same) for n in (1, 2, 3)]
    assert faults(*calls, call(4, tool_name="other")) == [("planner_loop", True)]


def test_to_ask_again_and_again_for_nothing_is_a_loop_and_a_limit_met_again_is_not() -> None:
    empty = [call(n, args_json={}, result_summary="[]") for n in (1, 2, 3)]
    assert faults(*empty) == [("planner_loop", False)]
    limited = [call(n, args_json={}, status_code=429, status="failure") for n in (1, 2, 3)]
    assert {category for category, _ in faults(*limited)} == {"rate_limited"}


@pytest.mark.covers("B-039", "B-074")
def test_a_call_that_failed_after_three_retries_is_a_loop_unless_its_error_says_why() -> None:
    broken = {"status": "failure", "error_message": "the printer is on fire"}
    assert faults(call(1, retries=2, **broken)) == []
    assert faults(call(1, retries=3, **broken)) == [("planner_loop", False)]
    assert faults(call(1, retries=3, **TIMED_OUT)) == [("timeout", False)]
