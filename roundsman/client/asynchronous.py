"""A client for programs that do other things while they wait, with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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


class AsyncClient:
    """The API at an address; the key is given, or stands in ROUNDSMAN_API_KEY.

    Every method raises ClientError. What only reads, or has an idempotency key, is sent again when
    the server asks for that.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        import httpx

        self.url = answers.check_url(url)
        headers = answers.headers_of(api_key)
        self._http = httpx.AsyncClient(base_url=self.url, headers=headers)

    def __repr__(self) -> str:
        """The address, and never the key."""
        return f"AsyncClient({self.url!r})"

    async def __aenter__(self) -> Self:
        """Keep its connections until the end of the block."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def execute(
        self, agent_type: str, *, idempotency_key: str | None = None, **wanted: Unpack[Wish]
    ) -> Run:
        """Start a run and wait for its end, at most `wait_seconds`; a dry run, unless told not to.

        One that goes on is `running`; see `run` or `events` for its end. A key given twice starts
        one run.
        """
        return await self._send(calls.execute(agent_type, idempotency_key, wanted))

    async def explain(self, agent_type: str, **wanted: Unpack[Wish]) -> Run:
        """Look up what a run would read, and about how much; that run itself does not happen.

        What it says stands in the `artifacts`.
        """
        return await self._send(calls.explain(agent_type, wanted))

    async def agents(self) -> list[AgentBrief]:
        """What can be executed."""
        return await self._send(calls.agents())

    async def agent(self, name: str) -> Agent:
        """One agent: its steps, its parameters, its rounds."""
        return await self._send(calls.agent(name))

    async def rounds(self) -> list[RoundState]:
        """The rounds, how each went last and when it starts next."""
        return await self._send(calls.rounds())

    async def run(self, run_id: str) -> Run:
        """One run, by its id or the first six letters of it."""
        return await self._send(calls.run(run_id))

    async def timeline(self, run_id: str, after: int = 0) -> Timeline:
        """A run's steps, and a page of its events after one of them."""
        return await self._send(calls.timeline(run_id, after))

    async def cancel(self, run_id: str) -> CancelAsked:
        """Ask a run to stop; it does so at its next step or operation."""
        return await self._send(calls.cancel(run_id))

    async def undo_preview(self, run_id: str) -> UndoPreview:
        """What of a run could be taken back, as far as the ledger knows, and why the rest not."""
        return await self._send(calls.undo_preview(run_id))

    async def undo(
        self, run_id: str, action_id: str | None = None, *, dry_run: bool = False
    ) -> Undoing:
        """Start a run that takes back what a run did; a dry one only says what would be lost."""
        return await self._send(calls.undo(run_id, action_id, dry_run))

    async def history_page(self, offset: int = 0, **wanted: Unpack[HistoryFilter]) -> HistoryPage:
        """Some runs, newest first, and how many match in all."""
        return await self._send(calls.history(wanted, offset))

    async def history(self, **wanted: Unpack[HistoryFilter]) -> AsyncIterator[PastRun]:
        """All runs that match, newest first, read page by page; `limit` is a page's size."""
        offset, last = 0, None
        while True:
            page = await self.history_page(offset, **wanted)
            for row in page.runs:
                # What began meanwhile has pushed some rows into the next page.
                if last is None or row.id < last:
                    last = row.id
                    yield row
            offset += len(page.runs)
            if not page.runs or offset >= page.total:
                return

    async def artifacts(self, agent_type: str, pattern: str = "*") -> list[ArtifactFile]:
        """An agent's files by name; `**/*` means those in folders too."""
        return await self._send(calls.artifacts(agent_type, pattern))

    async def artifact(self, agent_type: str, file: str) -> bytes:
        """A file as it was written."""
        return await self._send(calls.artifact(agent_type, file))

    async def approvals(self, **wanted: Unpack[ApprovalFilter]) -> list[Approval]:
        """What waits for an answer, newest first."""
        return await self._send(calls.approvals(wanted))

    async def approval(self, action_id: str) -> Approval:
        """What exactly is asked for, why, and who may answer."""
        return await self._send(calls.approval(action_id))

    async def approve(self, action_id: str, note: str | None = None) -> Approved:
        """Say yes: a new run looks again, acts if it is still needed, and reports."""
        return await self._send(calls.approve(action_id, note))

    async def deny(self, action_id: str, note: str | None = None) -> Approval:
        """Say no."""
        return await self._send(calls.deny(action_id, note))

    async def reopen(self, action_id: str, reason: str | None = None) -> Approval:
        """Let a request that was denied, or that nobody answered in time, wait again."""
        return await self._send(calls.reopen(action_id, reason))

    async def actions(self, **wanted: Unpack[ActionFilter]) -> list[Action]:
        """What agents did outside, or were to do, newest first."""
        return await self._send(calls.actions(wanted))

    async def action(self, action_id: str) -> Action:
        """Everything about one action: why, by whose word, what became of it."""
        return await self._send(calls.action(action_id))

    async def settle(self, action_id: str, outcome: Outcome, reason: str | None = None) -> Action:
        """Say what became of an action whose answer was lost, after you looked outside."""
        return await self._send(calls.settle(action_id, outcome, reason))

    async def switch(self) -> Switch:
        """Whether all effects of the org are halted, by whom, why and since when."""
        return await self._send(calls.switch())

    async def stop(self, reason: str | None = None) -> Switch:
        """Halt every effect of the org: nothing new begins until `resume`."""
        return await self._send(calls.stop(reason))

    async def resume(self, reason: str | None = None) -> Resumed:
        """Let effects begin again, and start the runs of what was approved meanwhile."""
        return await self._send(calls.resume(reason))

    async def findings(self, **wanted: Unpack[FindingFilter]) -> list[Finding]:
        """What is open or acknowledged, the latest seen first."""
        return await self._send(calls.findings(wanted))

    async def finding(self, fingerprint: str) -> Finding:
        """Everything about one finding."""
        return await self._send(calls.finding(fingerprint))

    async def acknowledge(self, fingerprint: str, note: str | None = None) -> Finding:
        """Take a finding on: no reminders any more, unless it worsens."""
        return await self._send(calls.decide(fingerprint, "ack", {"note": note}))

    async def mute(
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
        return await self._send(calls.decide(fingerprint, "mute", body))

    async def unmute(self, fingerprint: str, note: str | None = None) -> Finding:
        """Let people hear of a finding again."""
        return await self._send(calls.decide(fingerprint, "unmute", {"note": note}))

    async def health(self) -> Health:
        """Whether the process answers."""
        return await self._send(calls.health())

    async def ready(self) -> Health:
        """Whether its ledger answers too. Raises Unavailable where it does not."""
        return await self._send(calls.ready())

    async def events(
        self, run_id: str | None = None, after: int | None = None
    ) -> AsyncIterator[Event]:
        """A run's events from its first to its last, or those of all runs from now on, for ever.

        A connection that is lost is sought again, and none is told twice or left out. `after` goes
        on after that event.
        """
        following = Following(run_id, after)
        while True:
            lost: ClientError | None = None
            try:
                async with self._http.stream(**following.request()) as answer:
                    if answer.status_code == HTTPStatus.NO_CONTENT:
                        return
                    if not answer.is_success:
                        await answer.aread()
                        raise answers.problem_of(answer)
                    reader = Reader()
                    async for chunk in answer.aiter_bytes():
                        for message in reader.feed(chunk):
                            event = following.hear(message)
                            if event is not None:
                                yield event
            except (ClientError, *answers.failures()) as error:
                lost = answers.lost(error, self.url)
            await asyncio.sleep(following.seek_again(lost))

    async def _send(self, call: Call[T]) -> T:
        sent = 0
        while True:
            sent += 1
            try:
                return answers.read(call, await self._ask(call))
            except ClientError as error:
                pause = answers.pause_before(call, error, sent)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _ask(self, call: Call[T]) -> httpx.Response:
        try:
            return await self._http.request(**answers.request_of(call))
        except answers.failures() as error:
            raise answers.unreachable(f"{call.method} '{self.url}{call.path}'", error) from error
