"""How much a run may still ask of the outside: one operation, one conditional UPDATE."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from roundsman.errors import BudgetSpent, Cancelled
from roundsman.log import get_logger
from roundsman.rules.budget import (
    CALL_SECONDS,
    Budget,
    budget_status,
    is_exceeded,
    outside_seconds,
    step_seconds,
)
from roundsman.store.records import Spent

DEFAULT_TIMEOUT = CALL_SECONDS

_log = get_logger(__name__, component="budget")


class Meter:
    """What one run used of its budget, over all its sub-flows and attempts.

    `spend_one` is the ledger's conditional UPDATE; `check_alive` raises Cancelled or Fenced;
    `tell` writes the event of the first excess.
    """

    def __init__(
        self,
        budget: Budget,
        spend_one: Callable[[], Spent],
        tell: Callable[[dict[str, Any]], None],
        earlier_ms: float = 0.0,
    ) -> None:
        self.budget = budget
        self.ops_used = 0
        self.is_cut = False
        self.is_late = False
        self._began = time.monotonic() - earlier_ms / 1000
        self._spend_one = spend_one
        self._tell = tell
        self._told = False
        self._lock = threading.Lock()

    def active_ms(self) -> float:
        """Milliseconds that the run was worked on, earlier attempts included."""
        return (time.monotonic() - self._began) * 1000

    def spend(self, what: str) -> float:
        """Pay for one attempt at `what`; the answer is how many seconds it may take."""
        seconds = outside_seconds(self.budget, self.active_ms())
        if seconds <= 0:
            raise self.late(f"{what} was not asked")
        spent = self._spend_one()
        if spent.cancel_requested:
            raise Cancelled(f"{what} was not asked: the run is being cancelled")
        self.ops_used = max(self.ops_used, spent.ops_used)
        if not spent.ok:
            self.is_cut = True
            self._tell_once()
            raise BudgetSpent(
                f"{what} was not asked: all {spent.ops_limit} operations are used",
                "raise budget_ops or set budget_mode='warn'",
            )
        self.check()
        return seconds

    def late(self, what: str) -> BudgetSpent:
        """The error of a run whose time is over, noted as such."""
        self.is_cut = self.is_late = True
        self._tell_once()
        return BudgetSpent(
            f"{what}: the {self.budget.ms} ms of the budget are used",
            "raise budget_ms or set budget_mode='warn'",
        )

    def check(self) -> None:
        """Say once that more was used than given; never refuses."""
        if is_exceeded(self.budget, self.active_ms(), self.ops_used):
            self._tell_once()

    def step_seconds(self) -> float | None:
        """After how long a step that starts now is cut off; None: never."""
        return step_seconds(self.budget, self.active_ms())

    @property
    def is_over(self) -> bool:
        """Whether an enforced budget's time is used up, or something was cut off for it."""
        over = self.budget.ms is not None and self.active_ms() > self.budget.ms
        return self.is_late or (over and self.budget.mode == "enforce")

    def status(self) -> dict[str, Any]:
        """The budget_status of A-073."""
        return budget_status(self.budget, self.active_ms(), self.ops_used, self.is_cut)

    def _tell_once(self) -> None:
        with self._lock:
            first, self._told = not self._told, True
        if first:
            status = self.status() | {"exceeded": True}
            _log.warning("the budget is exceeded", metadata={"mode": self.budget.mode, **status})
            self._tell(status | {"mode": self.budget.mode})


class Purse:
    """One run's way to a meter: its own count, and the root run's meter that pays."""

    def __init__(self, meter: Meter, check_alive: Callable[[], None]) -> None:
        self.meter = meter
        self.ops = 0
        self._check_alive = check_alive

    def spend(self, what: str) -> float:
        """Pay for one attempt at `what` out of the root run's budget."""
        self._check_alive()
        seconds = self.meter.spend(what)
        self.ops += 1
        return seconds


meter: ContextVar[Purse | None] = ContextVar("meter", default=None)


def spend(what: str) -> float:
    """Seconds that one attempt of an outside call may take; called just before each of them.

    Outside a run nothing is counted. Raises BudgetSpent (enforced budgets only), Cancelled, Fenced.
    """
    mine = meter.get()
    return mine.spend(what) if mine else DEFAULT_TIMEOUT
