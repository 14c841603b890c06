"""How much time a run may still take, and whether it used more than it was given."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

# The longest that one outside call may take where no budget says less.
CALL_SECONDS = 60.0
# Held back from the outside calls of an enforced budget, so that the report still fits in it.
REPORT_SHARE = 0.2
REPORT_MS_MAX = 1_500
# A step that begins within the reserve (the report) gets at least this much.
LAST_STEP_SECONDS = 0.5


class Budget(NamedTuple):
    """What a run was given; `None` is without limit."""

    ms: int | None = None
    ops: int | None = None
    mode: Literal["warn", "enforce"] = "warn"


def reserve_ms(budget_ms: int) -> int:
    """Milliseconds at the end of an enforced budget in which nothing outside is asked."""
    return min(REPORT_MS_MAX, int(budget_ms * REPORT_SHARE))


def outside_seconds(budget: Budget, active_ms: float) -> float:
    """How long an outside call that starts now may take; 0.0 or less: none may start."""
    if budget.mode == "warn" or budget.ms is None:
        return CALL_SECONDS
    left = budget.ms - reserve_ms(budget.ms) - active_ms
    return min(CALL_SECONDS, left / 1000)


def step_seconds(budget: Budget, active_ms: float) -> float | None:
    """After how long a step that starts now is cut off; None: never.

    Before the reserve a step ends where the reserve begins; within it, with the budget.
    """
    if budget.mode == "warn" or budget.ms is None:
        return None
    left = budget.ms - reserve_ms(budget.ms) - active_ms
    if left > 0:
        return left / 1000
    return max(LAST_STEP_SECONDS, (budget.ms - active_ms) / 1000)


def is_exceeded(budget: Budget, active_ms: float, ops_used: int) -> bool:
    """Whether more was used than given."""
    over_time = budget.ms is not None and active_ms > budget.ms
    return over_time or (budget.ops is not None and ops_used > budget.ops)


def budget_status(budget: Budget, active_ms: float, ops_used: int, cut: bool) -> dict[str, Any]:
    """The words of A-073, times in milliseconds; `cut`: something was refused for the budget."""
    return {
        "exceeded": cut or is_exceeded(budget, active_ms, ops_used),
        "time_limit": budget.ms,
        "time_used": round(active_ms),
        "ops_limit": budget.ops,
        "ops_used": ops_used,
    }
