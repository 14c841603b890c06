"""A live round: it finds what is stale, asks or builds, looks again, and tells people once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from blocks.systems import load_system
from flows.operations.undo import undo
from flows.warehouse_health import warehouse_health
from roundsman.approvals import _order, approve
from roundsman.envelope import ledger_of
from roundsman.settings import get_settings
from roundsman.store import approvals, findings
from roundsman.store.approvals import Review, Wanted
from roundsman.store.records import ActionRow
from roundsman.store.verify import verify
from tests.flows.platforms import ORG, TWINS, Left, Platform, last_run, mail
from tests.permits import granted
from tests.servers.receiver import Receiver
from tests.store.words import change

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("run_home")]

LIVE = {"dry_run": False, "allow_actions": True}
PROJECT = """
name: marts
version: "1.0"
profile: marts
model-paths: [models]
models:
  marts: {+schema: marts, +materialized: table}
"""
PROFILES = """
marts:
  target: dev
  outputs:
    dev: {type: duckdb, path: ../warehouse.duckdb, threads: 1, schema: main}
"""
# dbt would call the schema main_marts.
SCHEMA_NAME = """
{% macro generate_schema_name(custom, node) %}{{ custom or target.schema }}{% endmacro %}
"""


class Mart(Platform):
    """A platform whose table is a mart that dbt builds from the rows that arrive."""

    def __init__(self, home: Path, hook: str) -> None:
        notify = {"ops": {"kind": "slack", "url": "${HOOK_URL}"}}
        super().__init__(home, TWINS | {"notify": notify})
        self.raw, self.table = self.table, "marts.emails"
        models = home / "dbt/models"
        models.mkdir(parents=True)
        (home / "dbt/macros").mkdir()
        (home / "dbt/dbt_project.yml").write_text(PROJECT)
        (home / "dbt/profiles.yml").write_text(PROFILES)
        (home / "dbt/macros/schema.sql").write_text(SCHEMA_NAME)
        (models / "emails.sql").write_text(f"select * from {self.raw}")

    def build(self) -> None:
        """Build the mart as somebody else would."""
        transform: Any = load_system("transform", "local")
        granted(transform.build, [])

    def arrive(self, newest_minutes_ago: int) -> None:
        """Let rows up to then be in the search and in the raw table, not in the mart."""
        mails = self.mails(newest_minutes_ago=newest_minutes_ago)
        self.table, mart = self.raw, self.table
        self.fill(mails, mails)
        self.table = mart

    def act(self, **changes: Any) -> Left:
        """Make one live round."""
        params = self.params(
            transform="local", findings={"channel": "ops", "owner": "ada"}, **(LIVE | changes)
        )
        asyncio.run(warehouse_health.fn(params))
        return last_run()


@pytest.fixture
def mart(run_home: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Mart:
    """A mart whose newest rows are six hours older than what has arrived."""
    monkeypatch.setenv("HOOK_URL", f"{receiver.url}/hook")
    made = Mart(run_home, receiver.url)
    made.arrive(newest_minutes_ago=363)
    made.build()
    made.arrive(newest_minutes_ago=3)
    return made


def ledger() -> Any:
    return ledger_of(get_settings())


def actions(verb: str) -> list[ActionRow]:
    found = approvals.list_actions(ledger(), ORG, Wanted())
    return [row for row in found if row.action == verb]


def write_policy(home: Path, *rules: dict[str, Any]) -> None:
    known = [{"id": "send", "verdict": "allow", "actions": ["send"]}]
    (home / "policy.yaml").write_text(yaml.safe_dump({"version": 1, "rules": [*known, *rules]}))


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
    assert len(receiver.received) == 2 * opened
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


def test_what_a_run_built_can_be_undone_once_by_a_permit_of_its_own(
    mart: Mart, receiver: Receiver
) -> None:
    before = (mart.home / "warehouse.duckdb").read_bytes()
    left = mart.act()
    built = (mart.home / "warehouse.duckdb").read_bytes()
    assert built != before
    told = asyncio.run(undo.fn({"run_id": left.row.run_id, **LIVE})).artifacts["undo"]
    by_action = {one["action"]: one for one in told}
    assert by_action["build"]["state"] in ("undone", "waiting")
    assert by_action["send"]["state"] == "impossible"
    assert "cannot be taken back" in by_action["send"]["said"]
    if by_action["build"]["state"] == "waiting":
        (row,) = actions("undo_build")
        approvals.approve(ledger(), ORG, row.action_id, Review("bob"))
        asyncio.run(undo.fn({"run_id": left.row.run_id, **LIVE}))
    assert (mart.home / "warehouse.duckdb").read_bytes() == before
    again = asyncio.run(undo.fn({"run_id": left.row.run_id, **LIVE})).artifacts["undo"]
    assert {one["action"]: one["state"] for one in again}["build"] == "undone"
    assert verify(ledger(), ORG).ok


def test_a_build_is_not_undone_over_what_came_after_it(mart: Mart) -> None:
    left = mart.act()
    granted(mart.warehouse.append, mart.raw, [mail(99_999, mart.now - timedelta(minutes=1))])
    after = (mart.home / "warehouse.duckdb").read_bytes()
    for _ in range(2):
        told = asyncio.run(undo.fn({"run_id": left.row.run_id, **LIVE})).artifacts["undo"]
        one = next(one for one in told if one["action"] == "build")
        if one["state"] == "waiting":
            (row,) = actions("undo_build")
            approvals.approve(ledger(), ORG, row.action_id, Review("bob"))
    assert one["state"] == "failed"
    assert "was changed at" in one["said"]
    assert (mart.home / "warehouse.duckdb").read_bytes() == after


def test_a_build_that_was_found_done_later_is_not_undone_over_what_came_meanwhile(
    mart: Mart,
) -> None:
    left = mart.act()
    (build,) = actions("build")
    # As if the run had died between the effect and its settlement.
    change(ledger(), "UPDATE actions SET state = 'unknown' WHERE action = 'build'")
    granted(mart.warehouse.append, mart.raw, [mail(99_999, mart.now - timedelta(minutes=1))])
    after = (mart.home / "warehouse.duckdb").read_bytes()
    approvals.settle_by_hand(ledger(), ORG, build.action_id, True, Review("ada"))
    write_policy(mart.home, {"id": "undo", "verdict": "allow", "actions": ["undo_*"]})
    told = asyncio.run(undo.fn({"run_id": left.row.run_id, **LIVE})).artifacts["undo"]
    said = next(one["said"] for one in told if one["action"] == "build")
    assert "was changed at" in said
    assert (mart.home / "warehouse.duckdb").read_bytes() == after
