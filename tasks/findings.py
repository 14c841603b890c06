"""Remembering what a run saw, and telling whom it concerns: once, by permit."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from blocks.notify import Notify
from blocks.systems import load_system
from roundsman.agent import Run, current
from roundsman.permits import Permit, Wish, ask_for
from roundsman.rules.finding import Change, FindingRules, Look, Seen
from roundsman.rules.findings import net_changes
from roundsman.rules.messages import Message, Topic, links_to
from roundsman.settings import get_settings
from roundsman.store import findings as ledger_of_findings
from roundsman.store.approvals import Wanted, get_action, list_actions
from roundsman.store.chain import canonical
from roundsman.store.findings import Told
from roundsman.store.records import ActionRow
from tasks.approved import let_go
from tasks.notify import Sent, send_message
from tasks.request import Asked, topic_of_request

SCOPE_LETTERS = 16
MESSAGE_LETTERS = 16
# The newest rows of one message, which is tried once a run while a channel refuses it.
TRIES_READ = 20


class Scene(NamedTuple):
    """By which rules findings live, and which parameters say what is looked at."""

    rules: FindingRules
    looked_at: dict[str, Any]

    @property
    def scope(self) -> str:
        """Tells runs apart that look at different things."""
        return hashlib.sha256(canonical(self.looked_at).encode()).hexdigest()[:SCOPE_LETTERS]


class Sightings(NamedTuple):
    """The problems of one look, and what it was able to judge."""

    at: datetime
    seen: tuple[Seen, ...]
    looked: frozenset[str]


async def record_findings(scene: Scene, sightings: Sightings) -> list[Change]:
    """Write down what became of every finding of this round; what is news stands in the changes."""
    run = current()
    look = Look(
        agent=run.agent,
        round=run.round.partition("/")[2] if run.round else None,
        run_id=run.id,
        at=sightings.at,
        seen=sightings.seen,
        looked=sightings.looked,
        scope=scene.scope,
        tells=run.may_act and not run.dry_run,
    )
    where = (run.ledger, run.org, run.attempt)
    return await asyncio.to_thread(ledger_of_findings.record_look, *where, look, scene.rules)


async def tell_people(
    scene: Scene, changes: Iterable[Change], asked: Sequence[Asked] = ()
) -> list[Sent]:
    """Send what is news and what waits for an answer, each once; in a dry run only say so."""
    run, channel = current(), scene.rules.channel
    news = [_News(topic_of(change), change) for change in net_changes(changes) if change.tell]
    told: list[tuple[str, Sent]] = []
    desk = None
    if channel is not None and (news or asked):
        desk = _Desk(channel, cast("Notify", load_system("notify", channel)))
        news += await asyncio.to_thread(_unheard, run, desk, asked)
    if desk is None or not news:
        run.skip("notify", "no channel is named" if channel is None else "there is no news")
    else:
        told = [await _tell(run, desk, one) for one in news]
    if run.action_id not in [key for key, _ in told]:
        await asyncio.to_thread(let_go, run, "send", "notify/", "it is no news any more")
    return [sent for _, sent in told]


class _News(NamedTuple):
    """What is told, and the change of a finding that it is about, if it is about one."""

    topic: Topic
    change: Change | None = None


class _Desk(NamedTuple):
    channel: str
    block: Notify

    def target(self, message: Message) -> str:
        """One message is one target: a lost answer to it silences no other."""
        return f"notify/{self.channel} {message.id[:MESSAGE_LETTERS]}"


def _unheard(run: Run, desk: _Desk, asked: Sequence[Asked]) -> list[_News]:
    """The requests of which nobody was told on this channel."""
    if not desk.block.takes("asked"):
        return []
    rows = [(get_action(run.ledger, run.org, one.action_id), one) for one in asked]
    news = [_News(topic_of_request(row, one)) for row, one in rows]
    return [one for one in news if not _was_sent(run, desk, one)]


def _was_sent(run: Run, desk: _Desk, news: _News) -> bool:
    target = desk.target(desk.block.compose(news.topic))
    wanted = Wanted(states=("done",), target=target, limit=1)
    return bool(list_actions(run.ledger, run.org, wanted))


async def _tell(run: Run, desk: _Desk, news: _News) -> tuple[str, Sent]:
    """The id of the message's permit, and what became of it."""
    message, permit = await asyncio.to_thread(_ask, run, desk, news.topic)
    sent = await send_message.named("notify")(desk.block, message, permit)
    now, change = datetime.now(UTC), news.change
    if sent.state == "done" and change is not None and change.event is not None:
        told = Told(change.after.fingerprint, change.event, change.after.severity, now)
        await asyncio.wrap_future(run.tell(ledger_of_findings.mark_told, told))
    waits = permit.key if permit.state == "waiting" else None
    return permit.key, sent.model_copy(update={"title": message.title, "action_id": waits})


def _ask(run: Run, desk: _Desk, topic: Topic) -> tuple[Message, Permit]:
    """The message and its permit: the one that this news has already, where it has one."""
    links = (*topic.links, *links_to(get_settings().public_url, topic))
    message = desk.block.compose(topic.model_copy(update={"links": links}))
    target = desk.target(message)
    known = list_actions(run.ledger, run.org, Wanted(target=target, limit=TRIES_READ))
    tries = [row.occasion["after_failures"] + 1 for row in known if row.state == "failed"]
    standing = next((row for row in known if row.state not in ("failed", "expired")), None)
    occasion: dict[str, Any] = {"message": message.id, "after_failures": max(tries, default=0)}
    if standing is not None:
        message, occasion = _stored(standing), standing.occasion
    wish = Wish(target=target, occasion=occasion, context={"severity": topic.severity})
    return message, ask_for(desk.block.send, wish, message)


def _stored(row: ActionRow) -> Message:
    """What was proposed goes out in its own words, whatever a later run would say."""
    return Message.model_validate(row.payload["message"])


def topic_of(change: Change) -> Topic:
    """What is told of a change; its times are the finding's, whoever tells it."""
    after = change.after
    return Topic(
        event=change.event or "report",
        severity=after.severity,
        said=after.said,
        agent=after.agent,
        round=after.round,
        at=after.resolved_at or after.opened_at,
        occasion=change.occasion,
        subject=after.subject,
        kind=after.kind,
        fingerprint=after.fingerprint,
        owner=after.owner,
        opened_at=after.opened_at,
        reasons=after.reasons,
    )
