"""A run's purse as the envelope sets it, for tests of what one outside call may cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from roundsman.budget import Meter, Purse, meter
from roundsman.rules.budget import Budget
from roundsman.store.records import Spent


@contextmanager
def enforced(ms: int | None = None, ops: int | None = None) -> Iterator[Purse]:
    """The purse of a run with an enforced budget; `.ops` is what it paid."""
    used = count(1)

    def spend_one() -> Spent:
        number = next(used)
        return Spent(ok=ops is None or number <= ops, ops_used=number, ops_limit=ops)

    budget = Budget(ms=ms, ops=ops, mode="enforce")
    purse = Purse(Meter(budget, spend_one, lambda _: None), lambda: None)
    token = meter.set(purse)
    try:
        yield purse
    finally:
        meter.reset(token)
