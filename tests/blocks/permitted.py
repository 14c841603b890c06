"""A live run with a ledger of its own, in which blocks that change the outside get permits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from roundsman import budget, envelope
from roundsman.envelope import Identity, Run, enter
from roundsman.permits import Permit, Wish, ask_for
from roundsman.rules.budget import Budget
from roundsman.settings import get_settings
from roundsman.store import approvals, open_ledger
from roundsman.store.artifacts import ArtifactStore
from roundsman.store.records import ActionRow
from tests.store.words import begin


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
    """Open a run in the home of the test; give it up at the end."""
    settings = get_settings()
    ledger = open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)
    params = {"dry_run": dry_run, "allow_actions": not dry_run}
    run_id = begin(ledger, settings.org_id, dry_run=dry_run, params=params)
    who = Identity(
        id=run_id,
        org=settings.org_id,
        agent="warehouse_health",
        plan=("send_message",),
        dry_run=dry_run,
        may_act=not dry_run,
        asked_by="ada",
    )
    run = Run(who, ledger, ArtifactStore(settings.artifacts, settings.org_id))
    run.attempt = 1
    run.give(Budget(), 0.0)
    enter(run)
    try:
        yield LiveRun(run)
    finally:
        envelope._current.set(None)
        budget.meter.set(None)
        ledger.close()
