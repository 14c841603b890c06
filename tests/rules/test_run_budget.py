"""How much time a run may still take, and whether it used more than it was given."""

from __future__ import annotations

import pytest

from roundsman.rules.budget import (
    CALL_SECONDS,
    LAST_STEP_SECONDS,
    Budget,
    budget_status,
    is_exceeded,
    outside_seconds,
    reserve_ms,
    step_seconds,
)

ENFORCED = Budget(ms=10_000, mode="enforce")


@pytest.mark.parametrize(("given", "held"), [(100, 20), (5_000, 1_000), (60_000, 1_500)])
def test_a_fifth_but_at_most_a_second_and_a_half_is_held_back(given: int, held: int) -> None:
    assert reserve_ms(given) == held


@pytest.mark.parametrize("budget", [Budget(), Budget(ms=1), Budget(mode="enforce")])
def test_without_an_enforced_limit_a_call_has_its_usual_time(budget: Budget) -> None:
    assert outside_seconds(budget, 1e9) == CALL_SECONDS
    assert step_seconds(budget, 1e9) is None


def test_a_call_gets_what_is_left_before_the_reserve() -> None:
    assert outside_seconds(ENFORCED, 0) == 8.5
    assert outside_seconds(ENFORCED, 8_000) == 0.5
    assert outside_seconds(ENFORCED, 8_500) == 0.0
    assert outside_seconds(ENFORCED, 9_000) < 0


def test_a_long_budget_does_not_lengthen_a_call() -> None:
    assert outside_seconds(Budget(ms=10_000_000, mode="enforce"), 0) == CALL_SECONDS


def test_a_step_ends_where_the_reserve_begins_and_the_report_with_the_budget() -> None:
    assert step_seconds(ENFORCED, 1_000) == 7.5
    assert step_seconds(ENFORCED, 8_600) == pytest.approx(1.4)
    assert step_seconds(ENFORCED, 12_000) == LAST_STEP_SECONDS


@pytest.mark.parametrize(
    ("budget", "active_ms", "ops", "exceeded"),
    [
        (Budget(), 1e9, 10**9, False),
        (Budget(ms=100), 100, 0, False),
        (Budget(ms=100), 100.1, 0, True),
        (Budget(ops=3), 0, 3, False),
        (Budget(ops=3), 0, 4, True),
        (Budget(ops=0), 0, 1, True),
    ],
)
def test_exceeded_is_more_than_given(
    budget: Budget, active_ms: float, ops: int, exceeded: bool
) -> None:
    assert is_exceeded(budget, active_ms, ops) is exceeded


@pytest.mark.covers("A-073")
def test_the_status_has_the_words_of_the_contract() -> None:
    assert budget_status(Budget(ms=1000, ops=5), 1200.4, 3, cut=False) == {
        "exceeded": True,
        "time_limit": 1000,
        "time_used": 1200,
        "ops_limit": 5,
        "ops_used": 3,
    }


def test_what_was_refused_for_the_budget_counts_as_exceeded() -> None:
    assert budget_status(Budget(ops=2, mode="enforce"), 1, 2, cut=True)["exceeded"] is True
