"""The questions of the commands, asked of the API of another machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from roundsman.cli.complaint import remote_url
from roundsman.errors import Misread, Mistake

T = TypeVar("T", bound="BaseModel")

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pydantic import BaseModel

    from roundsman.approvals import Resumed
    from roundsman.catalog import Card, Round
    from roundsman.cli.ledger import Begun
    from roundsman.client import Client, ClientError
    from roundsman.client import records as client_records
    from roundsman.client.calls import Outcome
    from roundsman.client.records import Agent, Wish
    from roundsman.rules.finding import Finding
    from roundsman.settings import Settings
    from roundsman.store import approvals, findings
    from roundsman.store.records import ActionRow, AuditRow, EventRow, HistoryFilter, StepRow
    from roundsman.store.undone import Undoing

# The commands that may be asked of another machine; all others are of this one.
COMMANDS = frozenset(
    {
        *("agents", "run", "watch", "cancel", "retry", "history", "show"),
        *("artifacts list", "artifacts show", "undo"),
        *(f"approvals {verb}" for verb in ("list", "show", "approve", "deny", "reopen")),
        *(f"actions {verb}" for verb in ("list", "show", "settle", "stop", "resume")),
        *(f"findings {verb}" for verb in ("list", "show", "ack", "mute", "unmute")),
    }
)
# What stands beside `params` in a request to execute.
BESIDE = ("objective", "dry_run", "allow_actions", "budget_ms", "budget_ops")
# What a page of the history leaves out of a run; `show` asks for it.
UNTOLD: Mapping[str, Any] = {
    **dict.fromkeys(("error", "parent_run_id", "retry_of", "action_id", "queued_at", "ops_count")),
    **{"org_id": "", "plan": [], "params": {}, "artifacts": {}, "systems": {}, "budget": {}},
    **{"code_version": "", "attempt": 1},
}


def check_command(words: str) -> None:
    """Raise Mistake for a command that only this machine can be asked."""
    remote = remote_url()
    if remote is not None and words not in COMMANDS:
        said = f"'{words}' is about this machine and cannot be asked of '{remote}'"
        raise Mistake(said, "leave out --remote, or unset ROUNDSMAN_REMOTE")


class Asked(NamedTuple):
    """A run that the API was asked for, or why it refused."""

    client: Client
    message: dict[str, Any]

    def queued(self) -> dict[str, Any]:
        """What became of the request."""
        return self.message

    def interrupt(self) -> None:
        """Ask it to stop."""
        self.client.cancel(str(self.message["run_id"]))


class Remote:
    """Asks an API what `Memory` asks the ledger, and gives the same records."""

    def __init__(self, url: str) -> None:
        from roundsman.client import Client
        from roundsman.settings import get_settings

        self.settings: Settings = get_settings().model_copy(update={"remote": url})
        self.client = Client(url)
        self._undone: dict[str, Undoing] = {}

    def begin(self, name: str, params: Mapping[str, Any], retry_of: str | None) -> Begun:
        """Have a run started; a dry one unless `dry_run` is false."""
        from roundsman.client import ClientError

        try:
            run_id = self._begin(name, params, retry_of)
        except ClientError as error:
            return Asked(self.client, _refusal(error))
        return Asked(self.client, {"run_id": run_id})

    def _begin(self, name: str, params: Mapping[str, Any], retry_of: str | None) -> str:
        if name == "undo":
            # It has a route of its own, as has `explain`: no agent is executed by either.
            run_id, action_id = params["run_id"], params["action_id"]
            return self.client.undo(run_id, action_id, dry_run=params["dry_run"]).run_id
        if name == "explain":
            agent, wish = _wish(params["name"], params["given"])
            return self.client.explain(agent, **wish).run_id
        agent, wish = _wish(name, params)
        again: Wish = {"wait_seconds": 0, "retry_run_id": retry_of or ""}
        return self.client.execute(agent, **(again if retry_of else wish)).run_id

    def run(self, run_id: str) -> AuditRow:
        """The run of an id or of an unambiguous beginning of one."""
        from roundsman.cli.ledger import check_name

        check_name(run_id)
        return _audit_row(self.client.run(run_id).model_dump(mode="json"))

    def history(self, wanted: HistoryFilter) -> tuple[list[AuditRow], int]:
        """Runs, newest first, and how many match in all."""
        told = wanted.model_dump(exclude_none=True, exclude={"offset", "status"})
        if wanted.status:
            words = (wanted.status,) if isinstance(wanted.status, str) else wanted.status
            told["ledger_status"] = list(words)
        page = self.client.history_page(wanted.offset, **told)
        return [_audit_row(row.model_dump(mode="json")) for row in page.runs], page.total

    def steps(self, run_id: str) -> list[StepRow]:
        """A run's steps."""
        from roundsman.store.records import StepRow

        told = self.client.timeline(run_id).steps
        return _rows(StepRow, ({"run_id": run_id, **step} for step in told))

    def events(self, run_id: str, after: int = 0) -> list[EventRow]:
        """A page of a run's events after one of them."""
        from datetime import datetime

        from roundsman.store.records import EventRow

        told = self.client.timeline(run_id, after).events
        return [
            EventRow(
                seq=event["seq"],
                run_id=run_id,
                attempt=event["attempt"],
                kind=event["kind"],
                at=datetime.fromisoformat(event["at"]),
                payload=event["payload"],
            )
            for event in told
        ]

    def files(self, run_id: str) -> list[Path]:
        """The files that a run left behind, as `artifacts show` takes them: agent and name."""
        from pathlib import Path

        agent = self.client.run(run_id).agent_type
        names: set[str] = set()
        after: int | None = 0
        while after is not None:
            page = self.client.timeline(run_id, after)
            names |= {
                str(event["payload"]["path"])
                for event in page.events
                if event["kind"] == "artifact_written" and event["payload"]
            }
            after = page.next_after
        return [Path(agent, name) for name in sorted(names)]

    def sweep(self) -> None:
        """Nothing: whoever serves the API does it."""

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop."""
        self.client.cancel(run_id)

    def cards(self) -> list[Card]:
        """The agents."""
        from roundsman.catalog import Card

        return [
            Card(
                **agent.model_dump(include={"name", "version", "description"}),
                capabilities=tuple(agent.capabilities),
                plan=tuple(agent.plan),
                params_schema=agent.params_schema,
                entrypoint=str(agent.model_dump().get("entrypoint", "")),
            )
            for agent in self._agents()
        ]

    def rounds(self) -> list[Round]:
        """The rounds of the agents that it lists."""
        from roundsman.catalog import Round

        return [
            Round(
                name=one.name.partition("/")[2],
                agent=agent.name,
                entrypoint=str(one.model_dump().get("entrypoint", "")),
                **one.model_dump(include={"params", "schedules", "description"}),
            )
            for agent in self._agents()
            for one in agent.rounds
        ]

    def actions(self, wanted: approvals.Wanted) -> list[ActionRow]:
        """What agents did outside or were to do, or what was asked of a person."""
        told: dict[str, Any] = {"limit": wanted.limit}
        told |= {"state": list(wanted.states)} if wanted.states else {}
        told |= {"agent": wanted.agent} if wanted.agent else {}
        if wanted.was_asked:
            told |= {} if wanted.states else {"everything": True}
            return [self._action_row(one) for one in self.client.approvals(**told)]
        told |= {"run_id": wanted.run_id} if wanted.run_id else {}
        return [self._action_row(one) for one in self.client.actions(**told)]

    def action(self, action_id: str) -> ActionRow:
        """The action of an id, or of an unambiguous beginning of one."""
        return self._action_row(self.client.action(action_id))

    def undone(self, rows: Sequence[ActionRow]) -> Mapping[str, Undoing]:
        """Which of them were taken back, by id, as it was told with them."""
        return {
            row.action_id: self._undone[row.action_id]
            for row in rows
            if row.action_id in self._undone
        }

    def approve(self, action_id: str, note: str | None) -> Begun:
        """Say yes; the run that acts begins."""
        return Asked(self.client, {"run_id": self.client.approve(action_id, note).run_id})

    def deny(self, action_id: str, note: str | None) -> ActionRow:
        """Say no."""
        return self._action_row(self.client.deny(action_id, note))

    def reopen(self, action_id: str, reason: str) -> ActionRow:
        """Let a request wait again."""
        return self._action_row(self.client.reopen(action_id, reason))

    def settle(self, action_id: str, is_done: bool, note: str | None) -> ActionRow:
        """Say what became of an action whose answer was lost."""
        outcome: Outcome = "done" if is_done else "not-done"
        return self._action_row(self.client.settle(action_id, outcome, note))

    def switch(self) -> approvals.Switch | None:
        """Whether all effects are halted; None: nobody ever turned the switch."""
        told = self.client.switch()
        return _switch(told) if told.who else None

    def halt(self, reason: str) -> approvals.Switch:
        """Halt all effects."""
        return _switch(self.client.stop(reason))

    def resume(self, reason: str) -> Resumed:
        """Let effects begin again."""
        from roundsman.approvals import Resumed

        told = self.client.resume(reason)
        return Resumed(_switch(told), told.was_stopped, told.started)

    def check_undo(self, run_id: str, action_id: str | None) -> None:
        """Nothing: whoever serves the API refuses it before anything is started."""

    def findings(self, wanted: findings.Wanted) -> list[Finding]:
        """Problems that rounds found."""
        told: dict[str, Any] = {"limit": wanted.limit}
        told |= {"state": list(wanted.states)} if wanted.states else {"everything": True}
        told |= {"severity": list(wanted.severities)} if wanted.severities else {}
        told |= {"agent": wanted.agent} if wanted.agent else {}
        told |= {"round": wanted.round} if wanted.round else {}
        return [_finding(one) for one in self.client.findings(**told)]

    def finding(self, finding_id: str) -> Finding:
        """One problem."""
        return _finding(self.client.finding(finding_id))

    def acknowledge(self, finding_id: str, note: str | None) -> Finding:
        """Take a problem on."""
        return _finding(self.client.acknowledge(finding_id, note))

    def mute(self, finding_id: str, end: datetime, reason: str | None) -> Finding:
        """Let nobody hear of a problem until a time."""
        return _finding(self.client.mute(finding_id, until=end, reason=reason))

    def unmute(self, finding_id: str) -> Finding:
        """Let people hear of a problem again."""
        return _finding(self.client.unmute(finding_id))

    def _agents(self) -> list[Agent]:
        return [self.client.agent(brief.name) for brief in self.client.agents()]

    def _action_row(self, told: BaseModel) -> ActionRow:
        """A permit without its seal, which never leaves the server."""
        from roundsman.store.records import ActionRow
        from roundsman.store.undone import Undoing

        document = told.model_dump(mode="json") | {"nonce": "", "signature": None}
        undoing: Any = document.pop("undone", None)
        known = {name: document[name] for name in ActionRow.model_fields if name in document}
        (row,) = _rows(ActionRow, [known])
        if undoing:
            self._undone[row.action_id] = Undoing(**undoing)
        return row


class Shelf(NamedTuple):
    """The artifacts of an API, as `ArtifactStore` has those of this machine."""

    client: Client

    def agents(self) -> list[str]:
        """The agents that have files."""
        names = [brief.name for brief in self.client.agents()]
        return [name for name in names if self.list_files(name, "**/*")]

    def list_files(self, agent_name: str, pattern: str) -> list[str]:
        """An agent's files."""
        return [file.path for file in self.client.artifacts(agent_name, pattern)]

    def read(self, path: str, agent_name: str) -> str:
        """A file's text."""
        return self.client.artifact(agent_name, path).decode("utf-8", "replace")


def _wish(name: str, params: Mapping[str, Any]) -> tuple[str, Wish]:
    """The agent, and what stands beside it in a request to execute."""
    agent, slash, _ = name.partition("/")
    beside = {word: params[word] for word in BESIDE if word in params}
    inner = {word: value for word, value in params.items() if word not in BESIDE}
    wish: Wish = {"wait_seconds": 0, "params": inner}
    wish |= beside  # pyright: ignore[reportAssignmentType] - as typed
    wish |= {"round": name} if slash else {}
    return agent, wish


def _switch(told: client_records.Switch) -> approvals.Switch:
    from roundsman.store.approvals import Switch

    since = told.since.isoformat() if told.since else ""
    return Switch(told.stopped, told.who or "", told.reason or "", since)


def _refusal(error: ClientError) -> dict[str, Any]:
    """A refused run's message, as a child of this machine gives it; raises what is none."""
    if error.run_id is None:
        raise error
    return {"refused": {"message": str(error), "run_id": error.run_id}}


def _audit_row(told: dict[str, Any]) -> AuditRow:
    from roundsman.store.records import AuditRow

    known = {name: told[name] for name in AuditRow.model_fields if told.get(name) is not None}
    nothing: dict[str, Any] = dict.fromkeys(AuditRow.model_fields)
    whole = {**nothing, **UNTOLD, **known, "status": told.get("ledger_status")}
    (row,) = _rows(AuditRow, [whole])
    return row


def _finding(told: BaseModel) -> Finding:
    from roundsman.rules.finding import Finding

    (finding,) = _rows(Finding, [told.model_dump(mode="json")])
    return finding


def _rows(kind: type[T], told: Iterable[Mapping[str, Any]]) -> list[T]:
    from pydantic import ValidationError

    try:
        return [kind.model_validate(one) for one in told]
    except ValidationError as error:
        said = f"the API tells of {kind.__name__} otherwise than this version reads it"
        raise Misread(said, "use the same version on both machines") from error
