"""What follows a person's answer: the second run of an approved permit, started once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from roundsman.log import get_logger

# The door imports this file for every command; the engine's weight comes later.
if TYPE_CHECKING:
    from roundsman.catalog import Order, Started
    from roundsman.settings import Settings
    from roundsman.store import Ledger
    from roundsman.store.approvals import Review, Switch
    from roundsman.store.records import ActionRow

Door = Literal["cli", "api"]

# Whoever approved is starting the run at this moment; only later somebody else has to.
STARTING_SECONDS = 30

_log = get_logger(__name__, component="approvals")


class Resumed(NamedTuple):
    """The switch, whether it had been on, and the run of each permit that was started."""

    switch: Switch
    was_on: bool
    runs: dict[str, str]


class Approvals:
    """The question of A-077, for agents that act on their own account."""

    @staticmethod
    def allow(*, agent_name: str, action: str, context: Mapping[str, Any] | None = None) -> bool:
        """Whether policy allows an action without asking anybody; the answer is logged.

        What only reads is known by its verb; everything else counts as a change.
        """
        from roundsman.policy import load_policy
        from roundsman.rules.approval import Request, decide, is_read

        request = Request(
            agent=agent_name,
            action=action,
            mutates=not is_read(action),
            context=dict(context or {}),
        )
        decision = decide(load_policy(), request, datetime.now(UTC))
        told = {"agent": agent_name, "action": action, "rule": decision.rule_id}
        _log.info(f"policy says {decision.verdict}", metadata=told)
        return decision.verdict == "allow"


def approve(
    ledger: Ledger, settings: Settings, key: str, review: Review, door: Door = "cli"
) -> Started:
    """Say yes to a permit and start the run that uses it; gives that run.

    Raises what the ledger refuses it for. Should this process die in between, the next one that
    finds the approval starts the run.
    """
    from roundsman import catalog
    from roundsman.store import approvals
    from roundsman.store.records import AskedBy

    row = approvals.approve(ledger, settings.org_id, key, review)
    order = _order(ledger, settings.org_id, row)
    asked_by = AskedBy(kind=door, name=review.who)
    return catalog.start(order._replace(asked_by=asked_by), settings)


def start_approved(ledger: Ledger, settings: Settings) -> list[str]:
    """Start the runs of approvals whose approver died before it could; gives the permits' ids.

    While effects are halted none is started: it could not act.
    """
    from roundsman.store import approvals

    switch = approvals.switch_of(ledger, settings.org_id)
    if switch is not None and switch.is_on:
        return []
    late = datetime.now(UTC) - timedelta(seconds=STARTING_SECONDS)
    return [key for key, _ in _start_left(ledger, settings, late)]


def resume(ledger: Ledger, settings: Settings, review: Review, door: Door = "cli") -> Resumed:
    """Let effects begin again, and start the runs of what was approved and not done meanwhile."""
    from roundsman.store import approvals

    before = approvals.switch_of(ledger, settings.org_id)
    was_on = before is not None and before.is_on
    switch = approvals.resume(ledger, settings.org_id, review)
    # Where nothing was halted, what was approved just now is being started by who approved it.
    begun = _start_left(ledger, settings, datetime.now(UTC), door) if was_on else []
    return Resumed(switch, was_on, {key: _run_of(started) for key, started in begun})


def _run_of(started: Started) -> str:
    told = started.queued()
    return str(told.get("refused", told)["run_id"])


def _start_left(
    ledger: Ledger, settings: Settings, before: datetime, door: Door = "cli"
) -> list[tuple[str, Started]]:
    from roundsman import catalog
    from roundsman.store import approvals

    left = approvals.unstarted(ledger, settings.org_id)
    orphans = [row for row in left if row.reviewed_at and row.reviewed_at < before]
    return [
        (row.action_id, catalog.start(_order(ledger, settings.org_id, row, door), settings))
        for row in orphans
    ]


def _order(ledger: Ledger, org: str, row: ActionRow, door: Door = "cli") -> Order:
    from roundsman.catalog import Order
    from roundsman.store import approvals, runs
    from roundsman.store.records import AskedBy

    asked = runs.get_run(ledger, org, row.run_id)
    who, when = row.reviewed_by or "", row.reviewed_at
    ended = approvals.runs_ended(ledger, org, row.action_id)
    return Order(
        agent_or_round=row.round or row.agent,
        params=asked.params,
        asked_by=AskedBy(kind=door, name=who),
        user_email=asked.user_email,
        parent_run_id=row.run_id,
        action_id=row.action_id,
        # Whoever starts it, and however often: it is one run.
        key=f"action:{row.action_id}:{when.isoformat() if when else ''}:{ended}",
    )
