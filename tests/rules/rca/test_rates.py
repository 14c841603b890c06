"""Whether an agent fails more often since its version changed."""

from __future__ import annotations

from typing import Any

import pytest

from roundsman.rules.rca.rates import difference, earlier_runs, judge_change, wilson
from roundsman.rules.rca.records import AgentRun
from tests.rules.rca.runs import run_of


def told(version: str, *states: str) -> list[dict[str, Any]]:
    return [{"prompt_version": version, "status": state} for state in states]


def judged(*entries: dict[str, Any]) -> Any:
    run = run_of(metadata={"prompt_version": "v2", "recent_runs": list(entries)})
    return judge_change(run, earlier_runs(run, ()))


def test_the_interval_is_that_of_the_published_example() -> None:
    # Newcombe 1998, table II (a): 56 of 70 against 48 of 80, method 10.
    low, high = difference((48, 80), (56, 70))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (0, 10), (3, 7), (0, 0)])
def test_a_rate_lies_in_its_interval(count: int, of: int) -> None:
    low, high = wilson(count, of)
    assert 0 <= low <= (count / of if of else 0.5) <= high <= 1


@pytest.mark.covers("B-041")
def test_a_version_that_fails_far_more_often_is_a_certain_change() -> None:
    change = judged(*told("v1", *["success"] * 9), *told("v2", *["failure"] * 5))
    assert (change.since, change.to, change.before, change.after) == ("v1", "v2", (0, 9), (5, 5))
    assert change.is_certain


def test_a_few_runs_more_that_fail_are_a_change_but_not_a_certain_one() -> None:
    change = judged(*told("v1", "success", "success"), *told("v2", "failure", "success"))
    assert change.growth == 0.5
    assert not change.is_certain


@pytest.mark.parametrize(
    "entries",
    [
        [],
        told("v2", "failure", "failure"),
        told("v1", "success", "success"),
        told("v1", "failure") + told("v2", "failure"),
        told("v1", "failure") + told("v2", "success"),
    ],
)
def test_without_two_versions_or_without_growth_there_is_no_change(entries: Any) -> None:
    assert judged(*entries) is None


def test_stored_runs_of_the_same_agent_count_and_neither_others_nor_the_run_itself() -> None:
    def stored(run_id: str, agent: str, version: str, status: str) -> AgentRun:
        return run_of(run_id=run_id, agent_name=agent, agent_version=version, status=status)

    run = stored("r9", "shop", "2", "failure")
    others = [
        stored("r1", "shop", "1", "success"),
        stored("r2", "other", "2", "failure"),
        stored("r3", "shop", "2", "failure"),
        run,
    ]
    assert [(one.version, one.succeeded) for one in earlier_runs(run, others)] == [
        ("1", True),
        ("2", False),
    ]


def test_only_the_version_before_is_compared() -> None:
    change = judged(
        *told("v0", "failure"),
        *told("v1", "success"),
        *told("v2", "failure"),
        *told("v1", "success"),
    )
    assert change.before == (0, 2)


@pytest.mark.parametrize("recent", ["none", [1, None], [{"status": 3}], {"a": 1}])
def test_recent_runs_in_another_shape_are_no_runs(recent: Any) -> None:
    assert earlier_runs(run_of(metadata={"recent_runs": recent}), ()) == ()
