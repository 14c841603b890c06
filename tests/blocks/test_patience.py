"""How long a call may take that can need more than the usual minute."""

from __future__ import annotations

import contextvars

import pytest

from blocks.patience import seconds_for
from roundsman.budget import Meter, Purse, meter
from roundsman.errors import BudgetSpent
from roundsman.rules.budget import Budget
from roundsman.store.records import Spent


def seconds_within(budget: Budget, longest: float) -> float:
    def inside() -> float:
        one = Meter(budget, lambda: Spent(True, 1, None, False), lambda _: None)
        meter.set(Purse(one, lambda: None))
        return seconds_for("look", longest)

    return contextvars.copy_context().run(inside)


def test_outside_a_run_a_call_may_take_as_long_as_its_system_says() -> None:
    assert seconds_for("look", 300) == 300


@pytest.mark.parametrize(
    ("budget", "longest", "seconds"),
    [
        (Budget(ms=1_000, mode="warn"), 300, 300),
        (Budget(ops=5, mode="enforce"), 300, 300),
        (Budget(ms=200_000, mode="enforce"), 300, 198.5),
        (Budget(ms=200_000, mode="enforce"), 90, 90),
        (Budget(ms=10_000, mode="enforce"), 300, 8.5),
    ],
)
def test_only_an_enforced_budget_of_time_shortens_it(
    budget: Budget, longest: float, seconds: float
) -> None:
    assert seconds_within(budget, longest) == pytest.approx(seconds, abs=0.5)


def test_when_the_time_is_over_nothing_is_asked() -> None:
    with pytest.raises(BudgetSpent):
        seconds_within(Budget(ms=0, mode="enforce"), 300)
