"""A request that waits: the round's channel is told of it once, with all that an answer needs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from roundsman.settings import get_settings
from roundsman.store import approvals
from roundsman.store.approvals import Review
from tests.flows.marts import Mart, actions, ledger, write_policy
from tests.flows.platforms import ORG
from tests.servers.receiver import Receiver

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("run_home")]
ASK = {"id": "careful", "verdict": "ask", "actions": ["build"], "approvers": ["bob@example.com"]}


def requests(receiver: Receiver) -> list[str]:
    """The texts of the requests that arrived."""
    texts: list[Any] = [json.loads(one.body)["text"] for one in receiver.received]
    return [text for text in texts if text.startswith("*[asked]")]


@pytest.mark.covers("A-078", "A-110")
def test_who_may_answer_is_told_once_what_is_asked_why_and_how(
    mart: Mart, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUNDSMAN_PUBLIC_URL", "https://rounds.example.org/")
    get_settings.cache_clear()
    write_policy(mart.home, ASK)
    left = mart.act()
    (text,) = requests(receiver)
    (row,) = actions("build")
    assert "may 'build' be done on 'transform/local'?" in text
    assert "minutes old" in text
    assert "To be done: full_refresh false, selectors []" in text
    assert f'only while last build at is "{row.precondition["last_build_at"]}"' in text
    assert f"roundsman approvals approve {row.action_id[:12]}, or deny" in text
    assert "Who may answer: bob@example.com" in text
    assert "Until: " in text
    assert "<https://rounds.example.org/#/approvals|answer it>" in text
    assert f"<https://rounds.example.org/#/runs/{row.run_id}|the run>" in text
    assert any("[asked]" in one["title"] for one in left.artifacts["notifications"])

    again = mart.act()
    assert len(requests(receiver)) == 1
    assert again.artifacts["notifications"] == []


def test_a_request_that_waits_once_more_is_told_once_more(mart: Mart, receiver: Receiver) -> None:
    write_policy(mart.home, ASK)
    mart.act()
    (row,) = actions("build")
    bob = Review("bob@example.com", "first no")
    approvals.deny(ledger(), ORG, row.action_id, bob)
    mart.act()
    assert len(requests(receiver)) == 1
    approvals.reopen(ledger(), ORG, row.action_id, bob)
    mart.act()
    assert len(requests(receiver)) == 2


def test_a_dry_run_asks_nobody(mart: Mart, receiver: Receiver) -> None:
    write_policy(mart.home, ASK)
    left = mart.act(dry_run=True)
    assert receiver.received == []
    assert not any("[asked]" in one["title"] for one in left.artifacts["notifications"])
