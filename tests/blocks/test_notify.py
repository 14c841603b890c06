"""The contract of channels: one effect for a permit, and what every bad answer means for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from roundsman.errors import Denied, Refused, Unready
from roundsman.permits import NotSent, declared_effects
from tests.blocks.channels import (
    KINDS,
    ROUTING_KEY,
    SECRET,
    SECRET_PATH,
    WEB_KINDS,
    Channel,
    into_file,
    message,
    over_smtp,
    over_web,
)
from tests.blocks.permitted import LiveRun, live_run

REMOTE = (*WEB_KINDS, "email")
REPEATS = {
    "slack": "once",
    "webhook": "once",
    "email": "once",
    "pagerduty": "repeatable",
    "outbox": "askable",
}


def make_channel(kind: str, request: pytest.FixtureRequest, folder: Path) -> Channel:
    if kind == "outbox":
        return into_file(folder)
    if kind == "email":
        return over_smtp(request.getfixturevalue("mail_server"))
    return over_web(kind, request.getfixturevalue("receiver"))


@pytest.fixture(params=KINDS)
def channel(request: pytest.FixtureRequest, tmp_path: Path) -> Channel:
    """Each implementation with its other side."""
    return make_channel(request.param, request, tmp_path)


@pytest.fixture(params=REMOTE)
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Channel:
    """Those whose other side may fail."""
    return make_channel(request.param, request, tmp_path)


@pytest.fixture
def live(run_home: Path) -> Iterator[LiveRun]:
    """A run that may act."""
    with live_run() as run:
        yield run


@pytest.mark.covers("A-110", "C-006")
def test_a_message_arrives_once_and_its_permit_is_done(live: LiveRun, channel: Channel) -> None:
    permit = live.permit(channel.block.send, message())
    receipt = channel.block.send(message(), permit=permit)

    [told] = channel.received()
    assert "132 mails are missing" in told
    row = live.row(permit)
    assert row.state == "done"
    assert row.result == receipt.model_dump(mode="json")
    with pytest.raises(Denied, match="it was done already"):
        channel.block.send(message(), permit=live.permit(channel.block.send, message()))
    assert len(channel.received()) == 1


def test_what_a_lost_answer_means_is_declared(channel: Channel) -> None:
    told = declared_effects(type(channel.block))["send"]
    assert (told.action, told.lost_answer) == ("send", REPEATS[channel.kind])


def test_without_a_permit_nothing_is_sent(run_home: Path, channel: Channel) -> None:
    with pytest.raises(Denied, match="was given no permit"):
        channel.block.send(message(), permit=None)  # type: ignore[arg-type]
    assert channel.received() == []


@pytest.mark.covers("A-110")
def test_a_dry_run_sends_nothing(run_home: Path, channel: Channel) -> None:
    with live_run(dry_run=True) as run:
        permit = run.permit(channel.block.send, message())
        with pytest.raises(Denied, match="a dry run changes nothing"):
            channel.block.send(message(), permit=permit)
    assert channel.received() == []


def test_another_message_is_not_sent_under_the_permit_of_one(
    live: LiveRun, channel: Channel
) -> None:
    permit = live.permit(channel.block.send, message())
    with pytest.raises(Denied, match="allowed with another payload"):
        channel.block.send(message(text="Pay at once."), permit=permit)
    assert channel.received() == []


def test_a_probe_sends_no_message(channel: Channel) -> None:
    probe = channel.block.probe()
    assert probe.reachable
    assert probe.can_write is (True if channel.kind == "outbox" else None)
    assert channel.received() == []


def test_a_no_is_told_in_the_other_sides_words_and_ends_the_permit(
    live: LiveRun, remote: Channel
) -> None:
    remote.act("no")
    permit = live.permit(remote.block.send, message())
    with pytest.raises(Refused, match="no such channel") as refused:
        remote.block.send(message(), permit=permit)
    assert refused.value.remedy
    assert live.row(permit).state == "failed"


def test_a_channel_that_is_asked_to_wait_keeps_its_permit(live: LiveRun, remote: Channel) -> None:
    remote.act("later")
    permit = live.permit(remote.block.send, message())
    with pytest.raises(NotSent, match="slow down"):
        remote.block.send(message(), permit=permit)
    assert live.row(permit).state == "allowed"


def test_a_channel_where_nobody_is_keeps_its_permit(live: LiveRun, remote: Channel) -> None:
    permit = live.permit(remote.nobody.send, message())
    with pytest.raises(NotSent, match="cannot be reached"):
        remote.nobody.send(message(), permit=permit)
    assert live.row(permit).state == "allowed"
    with pytest.raises(Unready):
        remote.nobody.probe()


@pytest.mark.parametrize("play", ["hang", "drop", "trouble"])
def test_a_lost_answer_is_unknown_and_only_what_bears_it_is_sent_again(
    live: LiveRun, remote: Channel, play: str
) -> None:
    remote.act(play)
    permit = live.permit(remote.block.send, message())
    with pytest.raises(Unready, match="unknown") as unready:
        remote.block.send(message(), permit=permit)
    assert not isinstance(unready.value, NotSent)
    assert live.row(permit).state == "unknown"
    assert len(remote.received()) == 1

    again = live.permit(remote.block.send, message())
    assert again.may_act is (REPEATS[remote.kind] == "repeatable")
    if not again.may_act:
        with pytest.raises(Denied, match="a person must say"):
            remote.block.send(message(), permit=again)
        assert len(remote.received()) == 1


def test_no_secret_is_in_an_error_a_receipt_or_the_ledger(
    live: LiveRun, remote: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for play in ("hang", "no"):
        remote.act(play)
        permit = live.permit(remote.block.send, message(), target=play)
        with pytest.raises((Refused, Unready)) as error:
            remote.block.send(message(), permit=permit)
        told = f"{error.value}{live.row(permit)}{remote.block!r}{caplog.text}"
        told += json.dumps(remote.block.model_dump(mode="json"))
        for secret in (SECRET, SECRET_PATH, ROUTING_KEY):
            assert secret not in told


def test_a_templates_mistake_is_found_when_the_channel_is_made(channel: Channel) -> None:
    options = channel.block.model_dump(exclude={"title_template", "text_template"})
    for field in ("title_template", "text_template"):
        with pytest.raises(ValueError, match="names the unknown field 'subjct'; known: action_id"):
            type(channel.block).model_validate(options | {field: "{{ subjct }}"})
