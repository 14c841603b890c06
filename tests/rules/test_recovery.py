"""Whether a failed step is tried again, and what a step that gave up leaves."""

from __future__ import annotations

import pytest

from roundsman.errors import Refused, RoundsmanError, Unready
from roundsman.rules.recovery import Gap, Retry, Stop, blame, decide, leaves_gap, step_of


@pytest.mark.covers("C-033")
@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0)])
def test_an_unready_system_is_asked_again_after_1_2_and_4_seconds(
    attempt: int, seconds: float
) -> None:
    assert decide("Unready", attempt) == Retry(seconds)


@pytest.mark.parametrize("jitter", [-1.0, -0.3, 0.0, 0.7, 1.0])
def test_jitter_moves_a_wait_by_at_most_a_fifth(jitter: float) -> None:
    verdict = decide("Unready", 3, jitter=jitter)
    assert isinstance(verdict, Retry)
    assert 4.0 * 0.8 <= verdict.seconds <= 4.0 * 1.2


def test_after_the_third_wait_it_is_given_up() -> None:
    assert decide("Unready", 4) == Stop("still unready after 4 tries")


@pytest.mark.covers("C-034", "F7")
def test_an_internal_error_is_tried_once_more_only() -> None:
    assert decide("Unready", 1, status=500) == Retry(1.0)
    assert isinstance(decide("Unready", 2, status=500), Stop)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_gateway_is_tried_like_any_unready_system(status: int) -> None:
    assert decide("Unready", 3, status=status) == Retry(4.0)


@pytest.mark.covers("C-035", "C-036")
@pytest.mark.parametrize(
    "kind", ["Refused", "Misread", "Denied", "BudgetSpent", "Cancelled", "Fenced", "Mistake", "X"]
)
def test_what_does_not_heal_is_never_tried_again(kind: str) -> None:
    assert isinstance(decide(kind, 1), Stop)


@pytest.mark.parametrize("kind", ["Unready", "Refused", "Misread", "BudgetSpent"])
def test_a_look_that_failed_leaves_a_gap(kind: str) -> None:
    assert leaves_gap(kind)
    assert not leaves_gap(kind, of_ledger=True)


@pytest.mark.parametrize("kind", ["Mistake", "Cancelled", "Fenced", "Denied", "KeyError"])
def test_what_is_no_failed_look_ends_the_run(kind: str) -> None:
    assert not leaves_gap(kind)


def test_a_gap_turns_back_into_its_error_with_its_step() -> None:
    gap = Gap(step="query", error_type="Refused", said="search refused", remedy="grant read")
    error = gap.to_error()
    assert isinstance(error, Refused)
    assert str(error) == "search refused; grant read"
    assert step_of(error) == "query"


def test_a_gap_of_an_unknown_kind_is_still_an_error() -> None:
    gap = Gap(step="query", error_type="Gone", said="gone")
    assert type(gap.to_error()) is RoundsmanError


def test_the_innermost_step_is_blamed() -> None:
    error = Unready("down")
    assert step_of(error) is None
    blame(error, "inner")
    blame(error, "outer")
    assert step_of(error) == "inner"
