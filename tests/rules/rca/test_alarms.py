"""When a run is stuck, slow, dear or failing."""

from __future__ import annotations

from typing import Any

import pytest

from roundsman.rules.rca.alarms import judge_alarms
from roundsman.rules.rca.records import AgentRun
from tests.rules.rca.runs import TIMED_OUT, call, run_of, step

SAME: dict[str, Any] = {"args_json": {"q": "a"}, "result_summary": "still nothing new"}


def lasting(seconds: int, run_id: str = "run-7") -> AgentRun:
    times = {"started_at": 0, "ended_at": seconds}
    return run_of(run_id=run_id, status="success", **times)


def texts(run: AgentRun, *history: AgentRun) -> list[str]:
    return [alarm.text for alarm in judge_alarms(run, history)]


@pytest.mark.covers("C-060", "C-061", "C-062", "C-063", "C-064")
@pytest.mark.parametrize(
    ("within", "beyond", "text"),
    [
        (lasting(60), lasting(61), "Investigation taking too long: 61s"),
        (
            run_of(*[step(n) for n in range(8)]),
            run_of(*[step(n) for n in range(9)]),
            "Too many iterations: 9",
        ),
        (
            run_of(cost={"total_cost_usd": 0.3}),
            run_of(cost={"total_cost_usd": 0.3456}),
            "High cost: $0.346",
        ),
        (
            run_of(*[call(n, **TIMED_OUT) for n in range(3)]),
            run_of(*[call(n, **TIMED_OUT) for n in range(4)]),
            "High tool failure rate: 4 failures",
        ),
        (
            run_of(*[call(n, args_json={"b": 1, "a": 2}) for n in range(2)]),
            run_of(*[call(n, args_json={"b": 1, "a": 2}) for n in range(3)]),
            'Possible loop: find_order:{"a": 2, "b": 1} called 3 times',
        ),
    ],
)
def test_the_fixed_limits_and_their_texts(within: AgentRun, beyond: AgentRun, text: str) -> None:
    assert texts(within) == []
    assert texts(beyond) == [text]


def test_only_the_strict_loop_is_more_than_information() -> None:
    apart = [call(1, **SAME), call(2), call(3, **SAME), call(4), call(5, **SAME)]
    assert [(a.kind, a.informational) for a in judge_alarms(run_of(*apart))] == [
        ("repeated_call", True)
    ]
    row = [call(n, **SAME) for n in (1, 2, 3)]
    assert [(a.kind, a.informational) for a in judge_alarms(run_of(*row))] == [
        ("repeated_call", True),
        ("loop", False),
    ]


def test_a_run_is_compared_with_its_agents_own_history_once_there_is_enough() -> None:
    slow = [lasting(300 + n, f"old-{n}") for n in range(6)]
    assert texts(lasting(310), *slow[:5]) == ["Investigation taking too long: 310s"]
    assert texts(lasting(310), *slow) == []
    alarm = judge_alarms(lasting(900), slow)[0]
    assert (alarm.kind, alarm.usual) == ("duration", 302.5)
    fast = [lasting(2, f"old-{n}") for n in range(6)]
    assert texts(lasting(4), *fast) == ["Investigation taking too long: 4s"]


def test_the_history_of_another_agent_and_the_run_itself_do_not_count() -> None:
    run = lasting(310)
    other = [lasting(300, f"o-{n}").model_copy(update={"agent_name": "other"}) for n in range(6)]
    assert texts(run, *other) == texts(run, *[run] * 6) == ["Investigation taking too long: 310s"]
