"""How long a call or a wait may take: as its system says, or what an enforced budget has left."""

from __future__ import annotations

from roundsman.budget import meter, spend
from roundsman.rules.budget import reserve_ms

# The least that is given, so that what is due in a moment may still arrive.
SECONDS_MIN = 0.1


def seconds_for(what: str, longest: float) -> float:
    """Pay for one operation, and say how long it may take."""
    spend(what)
    return at_most(longest)


def at_most(longest: float) -> float:
    """`longest`, or what an enforced budget of time has left now; costs nothing."""
    purse = meter.get()
    budget = purse.meter.budget if purse else None
    if purse is None or budget is None or budget.mode == "warn" or budget.ms is None:
        return longest
    left = (budget.ms - reserve_ms(budget.ms) - purse.meter.active_ms()) / 1000
    return min(longest, max(left, SECONDS_MIN))
