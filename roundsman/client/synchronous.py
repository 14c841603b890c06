"""A client for programs that wait for each answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from roundsman.client import answers, calls
from roundsman.client.errors import ClientError
from roundsman.client.following import Following, Reader
from roundsman.client.records import (
    Action,
    ActionFilter,
    Agent,
    AgentBrief,
    Approval,
    ApprovalFilter,
    Approved,
    ArtifactFile,
    CancelAsked,
    Event,
    Finding,
    FindingFilter,
    Health,
    HistoryFilter,
    HistoryPage,
    PastRun,
    Resumed,
    RoundState,
    Run,
    Switch,
    Timeline,
    Undoing,
    UndoPreview,
    Wish,
)

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

    from roundsman.client.calls import Call, Outcome

T = TypeVar("T")


class Client:
    """The API at an address; the key is given, or stands in ROUNDSMAN_API_KEY.

    Every method raises ClientError. What only reads, or has an idempotency key, is sent again when
    the server asks for that.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        import httpx

        self.url = answers.check_url(url)
        headers = answers.headers_of(api_key)
        self._http = httpx.Client(base_url=self.url, headers=headers)

    def __repr__(self) -> str:
        """The address, and never the key."""
        return f"Client({self.url!r})"

    def __enter__(self) -> Self:
        """Keep its connections until the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def execute(
        self, agent_type: str, *, idempotency_key: str | None = None, **wanted: Unpack[Wish]
    ) -> Run:
        """Start a run and wait for its end, at most `wait_seconds`; a dry run, unless told not to.

        One that goes on is `running`; see `run` or `events` for its end. A key given twice starts
        one run.
        """
        return self._send(calls.execute(agent_type, idempotency_key, wanted))

    def explain(self, agent_type: str, **wanted: Unpack[Wish]) -> Run:
        """Look up what a run would read, and about how much; that run itself does not happen.

        What it says stands in the `artifacts`.
        """
        return self._send(calls.explain(agent_type, wanted))

    def agents(self) -> list[AgentBrief]:
        """What can be executed."""
        return self._send(calls.agents())

    def agent(self, name: str) -> Agent:
        """One agent: its steps, its parameters, its rounds."""
        return self._send(calls.agent(name))

    def rounds(self) -> list[RoundState]:
        """The rounds, how each went last and when it starts next."""
        return self._send(calls.rounds())

    def run(self, run_id: str) -> Run:
        """One run, by its id or the first six letters of it."""
        return self._send(calls.run(run_id))

    def timeline(self, run_id: str, after: int = 0) -> Timeline:
        """A run's steps, and a page of its events after one of them."""
        return self._send(calls.timeline(run_id, after))

    def cancel(self, run_id: str) -> CancelAsked:
        """Ask a run to stop; it does so at its next step or operation."""
        return self._send(calls.cancel(run_id))

    def undo_preview(self, run_id: str) -> UndoPreview:
        """What of a run could be taken back, as far as the ledger knows, and why the rest not."""
        return self._send(calls.undo_preview(run_id))

    def undo(self, run_id: str, action_id: str | None = None, *, dry_run: bool = False) -> Undoing:
        """Start a run that takes back what a run did; a dry one only says what would be lost."""
        return self._send(calls.undo(run_id, action_id, dry_run))

    def history_page(self, offset: int = 0, **wanted: Unpack[HistoryFilter]) -> HistoryPage:
        """Some runs, newest first, and how many match in all."""
        return self._send(calls.history(wanted, offset))

    def history(self, **wanted: Unpack[HistoryFilter]) -> Iterator[PastRun]:
        """All runs that match, newest first, read page by page; `limit` is a page's size."""
        offset, last = 0, None
        while True:
            page = self.history_page(offset, **wanted)
            for row in page.runs:
                # What began meanwhile has pushed some rows into the next page.
                if last is None or row.id < last:
                    last = row.id
                    yield row
            offset += len(page.runs)
            if not page.runs or offset >= page.total:
                return

    def artifacts(self, agent_type: str, pattern: str = "*") -> list[ArtifactFile]:
        """An agent's files by name; `**/*` means those in folders too."""
        return self._send(calls.artifacts(agent_type, pattern))

    def artifact(self, agent_type: str, file: str) -> bytes:
        """A file as it was written."""
        return self._send(calls.artifact(agent_type, file))

    def approvals(self, **wanted: Unpack[ApprovalFilter]) -> list[Approval]:
        """What waits for an answer, newest first."""
        return self._send(calls.approvals(wanted))

    def approval(self, action_id: str) -> Approval:
        """What exactly is asked for, why, and who may answer."""
        return self._send(calls.approval(action_id))

    def approve(self, action_id: str, note: str | None = None) -> Approved:
        """Say yes: a new run looks again, acts if it is still needed, and reports."""
        return self._send(calls.approve(action_id, note))

    def deny(self, action_id: str, note: str | None = None) -> Approval:
        """Say no."""
        return self._send(calls.deny(action_id, note))

    def reopen(self, action_id: str, reason: str | None = None) -> Approval:
        """Let a request that was denied, or that nobody answered in time, wait again."""
        return self._send(calls.reopen(action_id, reason))

    def actions(self, **wanted: Unpack[ActionFilter]) -> list[Action]:
        """What agents did outside, or were to do, newest first."""
        return self._send(calls.actions(wanted))

    def action(self, action_id: str) -> Action:
        """Everything about one action: why, by whose word, what became of it."""
        return self._send(calls.action(action_id))

    def settle(self, action_id: str, outcome: Outcome, reason: str | None = None) -> Action:
        """Say what became of an action whose answer was lost, after you looked outside."""
        return self._send(calls.settle(action_id, outcome, reason))

    def switch(self) -> Switch:
        """Whether all effects of the org are halted, by whom, why and since when."""
        return self._send(calls.switch())

    def stop(self, reason: str | None = None) -> Switch:
        """Halt every effect of the org: nothing new begins until `resume`."""
        return self._send(calls.stop(reason))

    def resume(self, reason: str | None = None) -> Resumed:
        """Let effects begin again, and start the runs of what was approved meanwhile."""
        return self._send(calls.resume(reason))

    def findings(self, **wanted: Unpack[FindingFilter]) -> list[Finding]:
        """What is open or acknowledged, the latest seen first."""
        return self._send(calls.findings(wanted))

    def finding(self, fingerprint: str) -> Finding:
        """Everything about one finding."""
        return self._send(calls.finding(fingerprint))

    def acknowledge(self, fingerprint: str, note: str | None = None) -> Finding:
        """Take a finding on: no reminders any more, unless it worsens."""
        return self._send(calls.decide(fingerprint, "ack", {"note": note}))

    def mute(
        self,
        fingerprint: str,
        *,
        hours: float | None = None,
        until: datetime | None = None,
        reason: str | None = None,
    ) -> Finding:
        """Let nobody hear of a finding for so many hours, or until a time."""
        end = until.isoformat() if until is not None else None
        body = {"hours": hours, "until": end, "reason": reason}
        return self._send(calls.decide(fingerprint, "mute", body))

    def unmute(self, fingerprint: str, note: str | None = None) -> Finding:
        """Let people hear of a finding again."""
        return self._send(calls.decide(fingerprint, "unmute", {"note": note}))

    def health(self) -> Health:
        """Whether the process answers."""
        return self._send(calls.health())

    def ready(self) -> Health:
        """Whether its ledger answers too. Raises Unavailable where it does not."""
        return self._send(calls.ready())

    def events(self, run_id: str | None = None, after: int | None = None) -> Iterator[Event]:
        """A run's events from its first to its last, or those of all runs from now on, for ever.

        A connection that is lost is sought again, and none is told twice or left out. `after` goes
        on after that event.
        """
        following = Following(run_id, after)
        while True:
            lost: ClientError | None = None
            try:
                with self._http.stream(**following.request()) as answer:
                    if answer.status_code == HTTPStatus.NO_CONTENT:
                        return
                    if not answer.is_success:
                        answer.read()
                        raise answers.problem_of(answer)
                    reader = Reader()
                    for chunk in answer.iter_bytes():
                        for message in reader.feed(chunk):
                            event = following.hear(message)
                            if event is not None:
                                yield event
            except (ClientError, *answers.failures()) as error:
                lost = answers.lost(error, self.url)
            time.sleep(following.seek_again(lost))

    def _send(self, call: Call[T]) -> T:
        sent = 0
        while True:
            sent += 1
            try:
                return answers.read(call, self._ask(call))
            except ClientError as error:
                pause = answers.pause_before(call, error, sent)
                if pause is None:
                    raise
            time.sleep(pause)

    def _ask(self, call: Call[T]) -> httpx.Response:
        try:
            return self._http.request(**answers.request_of(call))
        except answers.failures() as error:
            raise answers.unreachable(f"{call.method} '{self.url}{call.path}'", error) from error
