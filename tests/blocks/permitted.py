"""A live run with a ledger of its own, in which blocks that change the outside get permits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from roundsman import budget
from roundsman.envelope import Run, enter
from roundsman.permits import Permit, Wish, ask_for
from roundsman.settings import get_settings
from roundsman.store import approvals, open_ledger
from roundsman.store.records import ActionRow
from tests.permits import run_in


class LiveRun:
    """One open attempt that is current in this thread."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def permit(self, method: Any, *args: Any, target: str = "notify/test") -> Permit:
        """What policy and the ledger say of this call."""
        return ask_for(method, Wish(target=target, occasion={"of": "the test"}), *args)

    def row(self, permit: Permit) -> ActionRow:
        """The permit as the ledger has it."""
        return approvals.get_action(self.run.ledger, self.run.org, permit.key)


@contextmanager
def live_run(dry_run: bool = False) -> Iterator[LiveRun]:
    """Open a run in the home of the test, that pays for what it does; give it up at the end."""
    settings = get_settings()
    ledger = open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)
    with run_in(ledger, dry_run=dry_run) as run:
        enter(run)
        try:
            yield LiveRun(run)
        finally:
            budget.meter.set(None)
            ledger.close()
