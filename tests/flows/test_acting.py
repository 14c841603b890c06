"""A live round: it finds what is stale, asks or builds, looks again, and tells people once."""

from __future__ import annotations

import pytest
import yaml

from roundsman.approvals import _order, approve
from roundsman.settings import get_settings
from roundsman.store import approvals, findings
from roundsman.store.approvals import Review, Wanted
from roundsman.store.verify import verify
from tests.flows.marts import LIVE, Mart, actions, ledger, write_policy
from tests.flows.platforms import ORG
from tests.servers.receiver import Receiver

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("run_home")]


@pytest.mark.covers("A-002", "A-017", "A-043", "A-045", "A-110")
def test_a_stale_mart_is_built_looked_at_again_and_told_of_once(
    mart: Mart, receiver: Receiver
) -> None:
    left = mart.act()
    remediation = left.artifacts["remediation"]
    assert (remediation["triggered"], remediation["state"]) == (True, "done")
    assert remediation["helped"] is True
    assert left.row.verdict == "healthy"
    assert [row.state for row in actions("build")] == ["done"]
    told = [one["title"] for one in left.artifacts["notifications"]]
    assert len(receiver.received) == len(told) > 0
    assert all(title.startswith("[resolved]") for title in told)
    assert {found.state for found in findings.list_findings(ledger(), ORG)} == {"resolved"}

    again = mart.act()
    assert again.row.verdict == "healthy"
    assert again.artifacts["remediation"]["reason"] == "not_needed"
    assert again.artifacts["notifications"] == []
    assert (len(receiver.received), len(actions("build"))) == (len(told), 1)
    assert verify(ledger(), ORG).ok


@pytest.mark.covers("A-016", "A-110")
def test_a_dry_run_says_what_it_would_do_and_whom_it_would_tell(
    mart: Mart, receiver: Receiver
) -> None:
    before = (mart.home / "warehouse.duckdb").read_bytes()
    left = mart.act(dry_run=True)
    remediation = left.artifacts["remediation"]
    assert (remediation["triggered"], remediation["reason"]) == (False, "dry_run")
    assert "policy (build) says allow" in remediation["said"]
    assert remediation["blast_radius"]["selected"] == ["emails"]
    assert {one["state"] for one in left.artifacts["notifications"]} == {"skipped"}
    assert receiver.received == []
    assert approvals.list_actions(ledger(), ORG, Wanted()) == []
    assert (mart.home / "warehouse.duckdb").read_bytes() == before


@pytest.mark.covers("F13", "A-078")
def test_what_policy_asks_for_waits_and_the_approved_run_does_it(
    mart: Mart, receiver: Receiver
) -> None:
    write_policy(mart.home, {"id": "careful", "verdict": "ask", "actions": ["build"]})
    left = mart.act()
    assert (left.row.status, left.row.verdict) == ("success", "degraded")
    assert left.artifacts["remediation"]["reason"] == "waiting"
    (waiting,) = left.artifacts["pending_actions"]
    opened = len(receiver.received)
    assert opened > 0

    # The same round again asks nobody anew and tells nobody again.
    again = mart.act()
    assert again.artifacts["pending_actions"] == [waiting]
    assert len(receiver.received) == opened
    row = approvals.approve(ledger(), ORG, waiting["action_id"], Review("bob", "go"))
    order = _order(ledger(), ORG, row)
    assert (order.agent_or_round, order.action_id) == ("warehouse_health", row.action_id)
    done = mart.act(**{name: order.params[name] for name in LIVE})
    assert done.artifacts["remediation"]["state"] == "done"
    assert done.row.verdict == "healthy"
    # The request was told when it began to wait, and has no end to tell of.
    assert len(receiver.received) == 2 * opened - 1
    assert verify(ledger(), ORG).ok


@pytest.mark.covers("A-078")
def test_a_message_that_policy_asks_for_is_sent_once_a_person_said_yes(
    mart: Mart, receiver: Receiver
) -> None:
    asked = {"id": "mind", "verdict": "ask", "actions": ["send"]}
    write_policy(mart.home, asked, {"id": "no", "verdict": "deny", "actions": ["build"]})
    (waiting,) = mart.act().artifacts["pending_actions"]
    assert (waiting["action"], receiver.received) == ("send", [])
    approve(ledger(), get_settings(), waiting["action_id"], Review("bob")).wait()
    assert [row.state for row in actions("send")] == ["done"]
    assert len(receiver.received) == 1


def test_an_approved_message_that_is_no_news_any_more_is_let_go(
    mart: Mart, receiver: Receiver
) -> None:
    asked = {"id": "mind", "verdict": "ask", "actions": ["send"]}
    write_policy(mart.home, asked, {"id": "no", "verdict": "deny", "actions": ["build"]})
    (waiting,) = mart.act().artifacts["pending_actions"]
    write_policy(mart.home, asked, {"id": "yes", "verdict": "allow", "actions": ["build"]})
    mart.build()
    approve(ledger(), get_settings(), waiting["action_id"], Review("bob")).wait()
    row = approvals.get_action(ledger(), ORG, waiting["action_id"])
    assert (row.state, row.said) == ("expired", "no longer wanted: it is no news any more")
    assert receiver.received == []


def test_a_channel_that_lost_the_answer_is_not_told_again(mart: Mart, receiver: Receiver) -> None:
    receiver.then("drop")
    write_policy(mart.home, {"id": "no", "verdict": "deny", "actions": ["build"]})
    left = mart.act()
    assert left.artifacts["remediation"]["reason"] == "denied"
    assert {one["state"] for one in left.artifacts["notifications"]} == {"unknown"}
    arrived = len(receiver.received)
    again = mart.act()
    assert {one["state"] for one in again.artifacts["notifications"]} == {"unknown"}
    assert len(receiver.received) == arrived
    for row in actions("send"):
        approvals.settle_by_hand(ledger(), ORG, row.action_id, True, Review("ada"))
    assert {one["state"] for one in mart.act().artifacts["notifications"]} == {"done"}
    assert mart.act().artifacts["notifications"] == []
    assert len(receiver.received) == arrived


def test_a_channel_that_refused_is_told_by_the_next_run(mart: Mart, receiver: Receiver) -> None:
    from tests.servers.scripted import Reply

    write_policy(mart.home, {"id": "no", "verdict": "deny", "actions": ["build"]})
    receiver.then(Reply(b"no_team", status=404))
    left = mart.act()
    assert {one["state"] for one in left.artifacts["notifications"]} == {"failed"}
    receiver.then(Reply(b"ok", status=200))
    assert {one["state"] for one in mart.act().artifacts["notifications"]} == {"done"}
    assert mart.act().artifacts["notifications"] == []


def test_a_table_that_others_load_is_not_built_for_and_the_report_says_why(mart: Mart) -> None:
    schema, _, table = mart.raw.partition(".")
    source = {"name": "raw", "schema": schema, "tables": [{"name": table}]}
    text = yaml.safe_dump({"sources": [source]})
    (mart.home / "dbt/models/sources.yml").write_text(text)
    mails = mart.mails()
    mart.table = mart.raw
    mart.fill(mails, mails[:-30])
    remediation = mart.act().artifacts["remediation"]
    assert (remediation["triggered"], remediation["reason"]) == (False, "not_needed")
    assert f"'{mart.raw}' is a source of the dbt project" in remediation["said"]
    assert remediation["needed_for"] == []
    assert actions("build") == []


def test_where_both_sides_are_silent_nothing_is_built(mart: Mart) -> None:
    mart.arrive(newest_minutes_ago=363)
    remediation = mart.act().artifacts["remediation"]
    assert remediation["reason"] == "not_needed"
    assert "no build brings rows" in remediation["said"]
    assert actions("build") == []
