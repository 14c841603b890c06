"""Where commands read: the ledger of this machine, or the API of one that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from roundsman.cli.complaint import remote_url
from roundsman.errors import Mistake

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from roundsman.approvals import Resumed
    from roundsman.catalog import Card, Round
    from roundsman.cli.remote import Remote
    from roundsman.rules.finding import Finding
    from roundsman.settings import Settings
    from roundsman.store import Ledger, approvals, findings
    from roundsman.store.approvals import Review, Switch
    from roundsman.store.records import ActionRow, AuditRow, EventRow, HistoryFilter, StepRow
    from roundsman.store.undone import Undoing

CLOSED = frozenset({"success", "failed", "crashed", "cancelled", "timed_out", "refused"})


class Begun(Protocol):
    """A run that was asked for."""

    def queued(self) -> dict[str, Any]:
        """Wait until it stands in the ledger, or was refused; gives that message."""
        ...

    def interrupt(self) -> None:
        """Ask it to stop."""
        ...


class Reads(Protocol):
    """What commands ask and say that may be asked of another machine too."""

    @property
    def settings(self) -> Settings:
        """The settings of whoever asks."""
        ...

    def run(self, run_id: str) -> AuditRow:
        """The run of an id or of an unambiguous beginning of one."""
        ...

    def history(self, wanted: HistoryFilter) -> tuple[list[AuditRow], int]:
        """Runs, newest first, and how many match in all."""
        ...

    def steps(self, run_id: str) -> list[StepRow]:
        """A run's steps."""
        ...

    def events(self, run_id: str, after: int = 0) -> list[EventRow]:
        """A run's events after one of them."""
        ...

    def files(self, run_id: str) -> list[Path]:
        """The files that a run left behind."""
        ...

    def sweep(self) -> None:
        """Have runs that died closed."""
        ...

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop."""
        ...

    def actions(self, wanted: approvals.Wanted) -> list[ActionRow]:
        """What was asked of a person."""
        ...

    def action(self, action_id: str) -> ActionRow:
        """The action of an id, or of an unambiguous beginning of one."""
        ...

    def undone(self, rows: Sequence[ActionRow]) -> Mapping[str, Undoing]:
        """Which of them were taken back, by id."""
        ...

    def approve(self, action_id: str, note: str | None) -> Begun:
        """Say yes; the run that acts begins."""
        ...

    def deny(self, action_id: str, note: str | None) -> ActionRow:
        """Say no."""
        ...

    def reopen(self, action_id: str, reason: str) -> ActionRow:
        """Let a request wait again."""
        ...

    def settle(self, action_id: str, is_done: bool, note: str | None) -> ActionRow:
        """Say what became of an action whose answer was lost."""
        ...

    def switch(self) -> Switch | None:
        """Whether all effects are halted; None: nobody ever turned the switch."""
        ...

    def halt(self, reason: str) -> Switch:
        """Halt all effects."""
        ...

    def resume(self, reason: str) -> Resumed:
        """Let effects begin again."""
        ...

    def check_undo(self, run_id: str, action_id: str | None) -> None:
        """Raise Mistake where a run did nothing that could be undone, before one is started."""
        ...

    def findings(self, wanted: findings.Wanted) -> list[Finding]:
        """Problems that rounds found."""
        ...

    def finding(self, finding_id: str) -> Finding:
        """One problem."""
        ...

    def acknowledge(self, finding_id: str, note: str | None) -> Finding:
        """Take a problem on."""
        ...

    def mute(self, finding_id: str, end: datetime, reason: str | None) -> Finding:
        """Let nobody hear of a problem until a time."""
        ...

    def unmute(self, finding_id: str) -> Finding:
        """Let people hear of a problem again."""
        ...


class Memory(NamedTuple):
    """The ledger and whose rows are meant."""

    ledger: Ledger
    settings: Settings

    @property
    def org(self) -> str:
        """The org whose rows are meant."""
        return self.settings.org_id

    def run(self, run_id: str) -> AuditRow:
        """The run of an id or of an unambiguous beginning of one; a Mistake when there is none."""
        from roundsman.store import runs

        check_name(run_id)
        return runs.get_run(self.ledger, self.org, run_id)

    def history(self, wanted: HistoryFilter) -> tuple[list[AuditRow], int]:
        """Runs, newest first, and how many match in all."""
        from roundsman.store import runs

        return runs.history(self.ledger, self.org, wanted)

    def steps(self, run_id: str) -> list[StepRow]:
        """A run's steps."""
        from roundsman.store import runs

        return runs.steps(self.ledger, self.org, run_id)

    def events(self, run_id: str, after: int = 0) -> list[EventRow]:
        """A run's events after one of them."""
        from roundsman.store.events import read_events

        return read_events(self.ledger, self.org, after=after, run_id=run_id)

    def files(self, run_id: str) -> list[Path]:
        """The files that a run left behind, those that still exist."""
        from roundsman.store.artifacts import ArtifactStore
        from roundsman.store.history import artifact_rows

        agent = self.run(run_id).agent_type
        shelf = ArtifactStore(self.settings.artifacts, self.org)
        rows = artifact_rows(self.ledger, self.org, run_id)
        paths = [shelf.locate(row.path, agent) for row in rows if row.state == "written"]
        return [path for path in paths if path.exists()]

    def sweep(self) -> None:
        """Have runs that died closed."""
        from roundsman.store.sweep import sweep

        sweep(self.ledger)

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop."""
        from roundsman.store import runs

        runs.request_cancel(self.ledger, self.org, run_id, self.review(None).who)

    def actions(self, wanted: approvals.Wanted) -> list[ActionRow]:
        """What agents did outside, or were to do."""
        from roundsman.store.approvals import list_actions

        return list_actions(self.ledger, self.org, wanted)

    def action(self, action_id: str) -> ActionRow:
        """The action of an id, or of an unambiguous beginning of one."""
        from roundsman.store.approvals import get_action

        return get_action(self.ledger, self.org, action_id)

    def undone(self, rows: Sequence[ActionRow]) -> Mapping[str, Undoing]:
        """Which of them were taken back, by id."""
        from roundsman.store.undone import undone

        return undone(self.ledger, self.org, rows)

    def approve(self, action_id: str, note: str | None) -> Begun:
        """Say yes; the run that acts begins."""
        from roundsman.approvals import approve

        return approve(self.ledger, self.settings, action_id, self.review(note))

    def deny(self, action_id: str, note: str | None) -> ActionRow:
        """Say no."""
        from roundsman.store.approvals import deny

        return deny(self.ledger, self.org, action_id, self.review(note))

    def reopen(self, action_id: str, reason: str) -> ActionRow:
        """Let a request wait again."""
        from roundsman.store.approvals import reopen

        return reopen(self.ledger, self.org, action_id, self.review(reason))

    def settle(self, action_id: str, is_done: bool, note: str | None) -> ActionRow:
        """Say what became of an action whose answer was lost."""
        from roundsman.store.approvals import settle_by_hand

        return settle_by_hand(self.ledger, self.org, action_id, is_done, self.review(note))

    def switch(self) -> Switch | None:
        """Whether all effects are halted; None: nobody ever turned the switch."""
        from roundsman.store.approvals import switch_of

        return switch_of(self.ledger, self.org)

    def halt(self, reason: str) -> Switch:
        """Halt all effects."""
        from roundsman.store.approvals import halt

        return halt(self.ledger, self.org, self.review(reason))

    def resume(self, reason: str) -> Resumed:
        """Let effects begin again, and start the runs of what was approved meanwhile."""
        from roundsman.approvals import resume

        return resume(self.ledger, self.settings, self.review(reason))

    def check_undo(self, run_id: str, action_id: str | None) -> None:
        """Raise Mistake where a run did nothing that could be undone, before one is started."""
        from roundsman.store.undone import done_by

        done_by(self.ledger, self.org, run_id, action_id)

    def findings(self, wanted: findings.Wanted) -> list[Finding]:
        """Problems that rounds found."""
        from roundsman.store.findings import list_findings

        return list_findings(self.ledger, self.org, wanted)

    def finding(self, finding_id: str) -> Finding:
        """One problem."""
        from roundsman.store.findings import get_finding

        return get_finding(self.ledger, self.org, finding_id)

    def acknowledge(self, finding_id: str, note: str | None) -> Finding:
        """Take a problem on."""
        from roundsman.store.findings import acknowledge

        return acknowledge(self.ledger, self.org, finding_id, self.review(note))

    def mute(self, finding_id: str, end: datetime, reason: str | None) -> Finding:
        """Let nobody hear of a problem until a time."""
        from roundsman.store.findings import mute

        return mute(self.ledger, self.org, finding_id, end, self.review(reason))

    def unmute(self, finding_id: str) -> Finding:
        """Let people hear of a problem again."""
        from roundsman.store.findings import unmute

        return unmute(self.ledger, self.org, finding_id, self.review(None))

    def review(self, note: str | None) -> Review:
        """Who is typing, and why."""
        from roundsman.store.approvals import Review

        return Review(who(self.settings), note)


def who(settings: Settings) -> str:
    """Who is typing: the e-mail of the settings, else the name the system knows."""
    import getpass

    return settings.user_email or getpass.getuser()


def list_cards(operations: bool = False) -> list[Card]:
    """The agents, without any ledger: those of this machine, or of the API that is asked.

    `operations` of this machine are listed with them if they are wanted.
    """
    from roundsman import catalog

    remote = _remote()
    if remote is not None:
        return remote.cards()
    return [card for card in catalog.cards() if operations or not card.operation]


def list_rounds() -> list[Round]:
    """The rounds, from where the agents are."""
    from roundsman import catalog

    remote = _remote()
    return catalog.rounds() if remote is None else remote.rounds()


def check_name(run_id: str) -> None:
    """A Mistake for the beginning of an id that is too short."""
    from roundsman.store.history import PREFIX_CHARACTERS_MIN

    if len(run_id) < PREFIX_CHARACTERS_MIN:
        least = f"give at least {PREFIX_CHARACTERS_MIN} characters of its id"
        raise Mistake(f"run '{run_id}' is too short a name", f"{least}; see 'roundsman history'")


def open_memory() -> Memory:
    """Open the ledger of this home, migrating it if need be; dead runs are closed on the way."""
    from roundsman.settings import get_settings
    from roundsman.store import open_ledger

    settings = get_settings()
    ledger = open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)
    return Memory(ledger, settings)


def open_reads() -> Reads:
    """The ledger of this home, or the API that `--remote` names."""
    return _remote() or open_memory()


def _remote() -> Remote | None:
    url = remote_url()
    if url is None:
        return None
    from roundsman.cli.remote import Remote

    return Remote(url)
