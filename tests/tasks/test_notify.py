"""Telling people: whatever a channel does, the run goes on and knows what became of the message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blocks.notify import Notify, OutboxNotify
from roundsman.errors import Cancelled
from roundsman.permits import Permit
from tasks.notify import Sent, send_message
from tests.blocks.channels import closed_port, message, web_channel
from tests.blocks.permitted import LiveRun, live_run
from tests.servers.receiver import Receiver
from tests.servers.scripted import Reply
from tests.store.words import change

LATER = Reply({"error": "slow down"}, status=429, headers={"Retry-After": "0"})


@pytest.fixture
def live(run_home: Path) -> Iterator[LiveRun]:
    """A run that may act."""
    with live_run() as run:
        yield run


def tell(live: LiveRun, block: Notify, **changed: Any) -> tuple[Sent, Permit]:
    """Ask for a permit and send by it, as a flow does."""
    told = message(**changed)
    permit = live.permit(block.send, told)
    return asyncio.run(send_message(block, told, permit)), permit


@pytest.mark.covers("A-110")
def test_a_message_that_was_sent_is_done_and_stays_done(live: LiveRun, receiver: Receiver) -> None:
    block = web_channel("slack", receiver.url)
    sent, _ = tell(live, block)
    assert sent == Sent(channel=block.place, state="done", said="ok")
    again, _ = tell(live, block)
    assert (again.state, again.said) == ("done", "it was done already")
    assert len(receiver.received) == 1


@pytest.mark.covers("A-110")
def test_a_dry_run_skips_and_says_what_policy_would_have_said(
    run_home: Path, tmp_path: Path
) -> None:
    block = OutboxNotify(path=tmp_path / "outbox.jsonl")
    with live_run(dry_run=True) as run:
        sent, _ = tell(run, block)
    assert sent.state == "skipped"
    assert "a dry run changes nothing; policy" in sent.said
    assert not block.path.exists()


def test_a_channel_that_says_no_fails_the_message_and_not_the_run(
    live: LiveRun, receiver: Receiver
) -> None:
    receiver.then(Reply(b"no_service", status=404))
    block = web_channel("slack", receiver.url)
    for _ in range(2):
        sent, permit = tell(live, block)
        assert (sent.state, live.row(permit).state) == ("failed", "failed")
    assert "no_service" in live.row(permit).said
    assert len(receiver.received) == 1


def test_a_channel_that_asks_to_wait_is_asked_again(live: LiveRun, receiver: Receiver) -> None:
    receiver.then(LATER, LATER, Reply(b"ok"))
    sent, _ = tell(live, web_channel("slack", receiver.url))
    assert sent.state == "done"
    assert len(receiver.received) == 3


def test_one_that_goes_on_asking_keeps_the_permit_for_the_next_run(
    live: LiveRun, receiver: Receiver
) -> None:
    receiver.then(LATER)
    block = web_channel("slack", receiver.url)
    sent, permit = tell(live, block)
    assert (sent.state, live.row(permit).state) == ("failed", "allowed")
    assert len(receiver.received) == 3
    receiver.then(Reply(b"ok"))
    assert tell(live, block)[0].state == "done"


def test_a_wait_that_is_too_long_is_left_to_the_next_run(live: LiveRun, receiver: Receiver) -> None:
    receiver.then(Reply(status=429, headers={"Retry-After": "3600"}))
    sent, _ = tell(live, web_channel("slack", receiver.url))
    assert sent.state == "failed"
    assert "after 3600 s" in sent.said
    assert len(receiver.received) == 1


def test_a_channel_where_nobody_is_fails_and_keeps_the_permit(live: LiveRun) -> None:
    sent, permit = tell(live, web_channel("slack", f"http://127.0.0.1:{closed_port()}"))
    assert (sent.state, live.row(permit).state) == ("failed", "allowed")
    assert "nothing was sent" in sent.said


def test_a_lost_answer_is_unknown_and_stays_so_until_a_person_decides(
    live: LiveRun, receiver: Receiver
) -> None:
    receiver.then("hang")
    block = web_channel("slack", receiver.url)
    sent, permit = tell(live, block)
    assert (sent.state, live.row(permit).state) == ("unknown", "unknown")
    again, _ = tell(live, block)
    assert again.state == "unknown"
    assert "a person must say" in again.said
    assert len(receiver.received) == 1


def test_an_alert_whose_answer_was_lost_is_sent_again_by_the_next_run(
    live: LiveRun, receiver: Receiver
) -> None:
    receiver.then("drop", Reply(status=202))
    block = web_channel("pagerduty", receiver.url)
    assert tell(live, block)[0].state == "unknown"
    assert tell(live, block)[0].state == "done"
    keys = {request.json()["dedup_key"] for request in receiver.received}
    assert (len(receiver.received), keys) == (2, {"ab12"})


def test_another_message_under_the_permit_of_one_is_denied(
    live: LiveRun, receiver: Receiver
) -> None:
    block = web_channel("slack", receiver.url)
    permit = live.permit(block.send, message())
    sent = asyncio.run(send_message(block, message(text="something else"), permit))
    assert sent.state == "denied"
    assert receiver.received == []


def test_a_message_that_waits_for_a_person_is_denied_for_now(
    live: LiveRun, receiver: Receiver, run_home: Path
) -> None:
    (run_home / "policy.yaml").write_text(
        "version: 1\nrules:\n  - {id: quiet, verdict: ask, actions: [send]}\n"
    )
    sent, permit = tell(live, web_channel("slack", receiver.url))
    assert (sent.state, live.row(permit).state) == ("denied", "waiting")
    assert "policy (quiet) says ask" in sent.said
    assert receiver.received == []


def test_a_cancel_ends_the_run_and_sends_nothing(live: LiveRun, receiver: Receiver) -> None:
    block = web_channel("slack", receiver.url)
    permit = live.permit(block.send, message())
    change(live.run.ledger, "UPDATE run_leases SET cancel_requested = 1")
    with pytest.raises(Cancelled):
        asyncio.run(send_message(block, message(), permit))
    assert receiver.received == []
