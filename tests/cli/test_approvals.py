"""What a person types to answer, to settle, to stop everything, and what is said back."""

from __future__ import annotations

import pytest

from roundsman.approvals import _order, start_approved
from roundsman.cli.present import near
from roundsman.errors import Mistake
from roundsman.settings import get_settings
from roundsman.store import approvals, runs
from roundsman.store.records import HistoryFilter
from tests.store.permits import claim, live, propose, settle
from tests.store.words import change, finish


@pytest.fixture
def waiting(past, monkeypatch):
    """A permit that waits, proposed by a run that has ended."""
    monkeypatch.setenv("ROUNDSMAN_USER_EMAIL", "bob@example.com")
    get_settings.cache_clear()
    run = live(past.ledger, user_email="ada@example.com")
    row = propose(past.ledger, run, verdict="ask", reason="31 nodes, 20 need no person")
    finish(past.ledger, run, "success")
    return row


def test_what_waits_is_listed_with_its_reason_and_what_to_type(roundsman, waiting):
    key = waiting.action_id[:12]
    said = roundsman("approvals", "list")
    assert said.code == 0
    assert key in said.out
    assert "31 nodes, 20 need no person" in said.out
    shown = roundsman("approvals", "show", key)
    assert "build on transform/local: waiting" in shown.out
    assert f"roundsman approvals approve {key}" in shown.out
    document = roundsman("approvals", "list", "--json").document["approvals"]
    assert [row["action_id"] for row in document] == [waiting.action_id]
    assert roundsman("approvals", "show", key, "--json").document["state"] == "waiting"


@pytest.mark.covers("A-078")
def test_what_waits_is_shown_in_words_with_what_it_is_wanted_for(roundsman, past):
    run = live(past.ledger)
    condition = {"last_build_at": "2026-11-25T08:00:00Z"}
    row = propose(past.ledger, run, verdict="ask", precondition=condition)
    seen = {"action_id": row.action_id, "reasons": [{"quote": "81.5 minutes old, 30 are allowed"}]}
    finish(past.ledger, run, "success", artifacts={"remediation": seen})
    out = roundsman("approvals", "show", row.action_id).out
    for words in (
        "wanted as  81.5 minutes old, 30 are allowed",
        'condition  only while last build at is "2026-11-25T08:00:00Z"',
        "approvers  anybody",
        "if lost    ",
    ):
        assert words in out
    assert not {"payload_sha256", "nonce", "{"} & set(out.split())


@pytest.mark.covers("A-078", "F13")
def test_a_denied_request_is_gone_from_the_list_and_says_by_whom(roundsman, waiting):
    said = roundsman("approvals", "deny", waiting.action_id, "--note", "not this week")
    assert (said.code, "will not be done" in said.out) == (0, True)
    assert roundsman("approvals", "list").out == "Nothing waits for an answer.\n"
    row = roundsman("approvals", "list", "--all", "--json").document["approvals"][0]
    assert (row["state"], row["reviewed_by"], row["review_note"]) == (
        "denied",
        "bob@example.com",
        "not this week",
    )
    again = roundsman("approvals", "approve", waiting.action_id)
    assert again.code == 2
    assert "does not wait for an answer: it is denied by bob@example.com" in again.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("approvals", "approve", "ffffffff"), "action 'ffffffff' is not in the ledger"),
        (("approvals", "deny", "abc"), "too short a name"),
        (("actions", "settle", "{key}", "maybe"), "unknown outcome 'maybe'"),
        (("actions", "settle", "{key}", "done"), "is waiting: its fate is known"),
        (("actions", "list", "--state", "wating"), "unknown state 'wating'"),
        (("undo", "ffffffff"), "run 'ffffffff' is not in the ledger"),
    ],
)
def test_a_wrong_answer_gets_one_sentence(roundsman, waiting, words, complaint):
    said = roundsman(*(word.format(key=waiting.action_id) for word in words))
    assert said.code == 2
    assert complaint in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_answering_twice_says_where_the_answer_is_and_in_our_words(roundsman, waiting):
    roundsman("approvals", "deny", waiting.action_id)
    for verb in ("approve", "deny"):
        said = roundsman("approvals", verb, waiting.action_id, "--json")
        assert (said.code, said.document["type"]) == (2, "PolicyError")
        assert "see 'roundsman approvals list --all'" in said.err


def test_what_was_denied_is_reopened_with_a_reason(roundsman, waiting):
    key = waiting.action_id
    assert roundsman("approvals", "reopen", key, "--reason", "x").code == 2
    roundsman("approvals", "deny", key)
    assert f"approvals reopen {key[:12]}" in roundsman("approvals", "show", key).out
    assert roundsman("approvals", "reopen", key).code == 2
    said = roundsman("approvals", "reopen", key, "--reason", "the wrong week")
    assert (said.code, "waits again" in said.out) == (0, True)
    assert f"roundsman approvals approve {key[:12]}" in said.out
    shown = roundsman("approvals", "show", key, "--json").document
    assert shown["said"] == "reopened by bob@example.com: the wrong week"
    assert "reopened by" in roundsman("show", waiting.run_id, "--events").out


def test_an_approval_is_taken_back_before_a_run_uses_it(roundsman, past, waiting):
    key = waiting.action_id
    approvals.approve(past.ledger, past.org, key, approvals.Review("bob@example.com"))
    assert f"take the yes back: roundsman approvals deny {key[:12]}" in (
        roundsman("approvals", "show", key).out
    )
    assert "will not be done" in roundsman("approvals", "deny", key).out
    assert start_approved(past.ledger, get_settings()) == []


def test_a_hint_leads_to_the_home_that_was_given(roundsman, waiting, home):
    key = waiting.action_id
    given = ("--home", str(home))
    shown = roundsman(*given, "approvals", "show", key)
    assert f"roundsman --home {near(home)} approvals approve {key[:12]}" in shown.out
    said = roundsman(*given, "approvals", "show", "ffffffff")
    assert f"roundsman --home {near(home)} actions list" in said.err
    assert "--home" not in roundsman("approvals", "show", "ffffffff").err


def test_a_run_that_did_nothing_is_not_undone(roundsman, past, waiting):
    said = roundsman("undo", waiting.run_id)
    assert (said.code, said.out) == (2, "")
    assert "did nothing outside that could be undone" in said.err
    assert runs.history(past.ledger, past.org, HistoryFilter())[0][0].run_id == waiting.run_id


def test_who_may_not_answer_is_told_who_may(roundsman, past, waiting):
    run = live(past.ledger)
    row = propose(past.ledger, run, verdict="ask", approvers=["eve@example.com"], occasion={"n": 2})
    said = roundsman("approvals", "approve", row.action_id)
    assert (said.code, len(said.err.strip().splitlines())) == (2, 1)
    assert "'bob@example.com' may not answer" in said.err
    assert "policy names eve@example.com" in said.err


def test_an_action_whose_answer_was_lost_is_settled_by_hand(roundsman, past):
    run = live(past.ledger)
    row = propose(past.ledger, run, lost_answer="once", action="send", target="notify/ops m1")
    claim(past.ledger, run, row)
    settle(past.ledger, run, row, "unknown", said="no answer in 15 s")
    shown = roundsman("actions", "show", row.action_id)
    assert f"roundsman actions settle {row.action_id[:12]} done, or not-done" in shown.out
    listed = roundsman("actions", "list", "--state", "unknown", "--run", run)
    assert "no answer in 15 s" in listed.out
    said = roundsman("actions", "settle", row.action_id, "not-done", "--note", "asked the team")
    assert "'send' on 'notify/ops m1' is failed" in said.out
    assert approvals.get_action(past.ledger, past.org, row.action_id).said == "asked the team"


def test_while_all_is_stopped_nothing_is_approved_or_started(roundsman, past, waiting):
    roundsman("actions", "stop", "--reason", "moving house")
    said = roundsman("approvals", "approve", waiting.action_id)
    assert (said.code, len(said.err.strip().splitlines())) == (2, 1)
    assert "were stopped by bob@example.com: moving house" in said.err
    roundsman("actions", "resume")
    approvals.approve(past.ledger, past.org, waiting.action_id, approvals.Review("bob"))
    change(past.ledger, "UPDATE actions SET reviewed_at = '2026-01-01T00:00:00.000000Z'")
    roundsman("actions", "stop")
    assert start_approved(past.ledger, get_settings()) == []


@pytest.mark.engine
def test_resuming_names_the_runs_that_it_starts(roundsman, past, waiting):
    approvals.approve(past.ledger, past.org, waiting.action_id, approvals.Review("bob"))
    roundsman("actions", "stop")
    said = roundsman("actions", "resume")
    newest = runs.history(past.ledger, past.org, HistoryFilter())[0][0]
    assert newest.action_id == waiting.action_id
    assert f"started run {newest.run_id} of the approved {waiting.action_id[:12]}" in said.out


def test_one_switch_is_turned_and_shown(roundsman, past):
    assert "were not stopped: nothing to resume" in roundsman("actions", "resume").out
    said = roundsman("actions", "stop", "--reason", "moving house")
    assert "all actions of 'default' are stopped" in said.out
    assert "(moving house)" in roundsman("actions", "stop").out
    assert "ALL ACTIONS ARE STOPPED" in roundsman("actions", "list").out
    assert roundsman("actions", "resume", "--json").document["is_on"] is False
    assert "STOPPED" not in roundsman("actions", "list").out


@pytest.mark.engine
def test_approving_starts_the_run_that_acts_and_it_knows_why(roundsman, past, waiting):
    said = roundsman("approvals", "approve", waiting.action_id, "--json")
    # Its systems are not declared here, so the run is refused, which is a record too.
    newest = runs.history(past.ledger, past.org, HistoryFilter())[0][0]
    assert (newest.parent_run_id, newest.action_id) == (waiting.run_id, waiting.action_id)
    assert newest.status == "refused"
    assert said.code == 2


def test_a_request_that_was_asked_anew_gets_a_run_of_its_own(past, waiting):
    def approved():
        row = approvals.approve(past.ledger, past.org, waiting.action_id, approvals.Review("bob"))
        return _order(past.ledger, past.org, row)

    first = approved()
    run = live(past.ledger, action_id=waiting.action_id)
    # Whoever else starts it meanwhile starts the same run.
    row = approvals.get_action(past.ledger, past.org, waiting.action_id)
    assert _order(past.ledger, past.org, row).key == first.key
    finish(past.ledger, run, "failed")
    change(past.ledger, "UPDATE actions SET expires_at = '2026-01-01T00:00:00.000000Z'")
    assert approvals.expire_due(past.ledger) == 1
    assert propose(past.ledger, live(past.ledger), verdict="ask").state == "waiting"
    # The same key would give the old run again, and start none.
    assert approved().key != first.key


@pytest.mark.engine
def test_an_approval_whose_approver_died_is_started_by_the_next_who_looks(past, waiting):
    row = approvals.approve(past.ledger, past.org, waiting.action_id, approvals.Review("bob"))
    settings = get_settings()
    # A moment ago: whoever approved may still be at it.
    assert start_approved(past.ledger, settings) == []
    change(past.ledger, "UPDATE actions SET reviewed_at = '2026-01-01T00:00:00.000000Z'")
    assert start_approved(past.ledger, settings) == [row.action_id]
    with pytest.raises(Mistake, match="does not wait"):
        approvals.approve(past.ledger, past.org, waiting.action_id, approvals.Review("eve"))
